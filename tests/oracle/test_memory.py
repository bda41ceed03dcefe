"""A czar that may hold 256 MB answers the corpus over tables that are many times as large.

Of 2 GB with ``--seconds 3600`` for this check alone (``pytest -m nightly tests/oracle/test_memory.py --seconds 3600``), which are
not those that it takes; with fewer seconds the tables are smaller, and half of them are for the queries, asked in an order that
follows from the seed. The czar is ended when it holds more: no limit of the system says the same (see `held_bytes`).
"""

import math
import multiprocessing
import time
from collections import Counter

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from sqlglot import exp

from czar.parse import parse
from qserv.errors import TimeLimitError
from qserv.supervisor.services import GIVES_MEMORY_BACK
from tests.oracle.asking import ask_plain, cut_of
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries, read_pending
from tests.oracle.large import large_cluster
from tests.oracle.limited import FEW_ROWS, MEGABYTE, answer, held_bytes, rows_file
from tests.support.sky import TABLES

LIMIT_BYTES = 256 * MEGABYTE

OBJECTS = 1_700_000
"""With their sources and all else, 2.4 GB of chunk tables without overlap and indexes."""

WHOLE_BYTES = 2_000_000_000
"""What so many have at the least."""

WHOLE_S = 3600
"""Seconds from which on there are as many; with fewer, the tables are smaller."""

LEAST_S = 60
"""With fewer there is nothing to see."""

SLOWEST_S = 600
"""What a query may take, as by default; the oracle gets as much."""

MOST_ROWS = 200_000
"""Rows that the oracle may hold for a comparison, where LIMIT takes any of them."""

LOOK_S = 0.02
"""How often it is looked at how much memory the czar holds."""

GROWS = "neighbours/"
"""Queries that may end in the limit of time: at the same radius, pairs grow as the square of the objects. None may end in another
limit."""


def entries():
    """Return the entries of the corpus that are asked of the survey alone."""
    refused = read_pending().refused
    return {name: entry for name, entry in read_entries("corpus").items() if name not in refused and of_survey(entry)}


def of_survey(entry):
    """Return whether a query reads tables of the survey, and no other."""
    tree = parse(entry.statement, "native") if isinstance(entry.statement, str) else entry.statement
    named = {("", each.alias.lower()) for each in tree.find_all(exp.CTE)}
    read = {(each.db.lower(), each.name.lower()) for each in tree.find_all(exp.Table) if each.name} - named
    return bool(read) and read <= {(database, table) for database in ("", "survey") for table in TABLES}


@pytest.fixture
def seconds(night):
    if night.seconds < LEAST_S:
        pytest.skip(f"{night.seconds:.0f} seconds are too few: it needs {LEAST_S}, and has 20 of 100 of --seconds")
    return night.seconds


@pytest.fixture
def large(seconds, cluster_home, tmp_path_factory):
    objects = round(OBJECTS * min(1.0, seconds / WHOLE_S))
    with large_cluster(cluster_home / "large", objects, SLOWEST_S, tmp_path_factory.mktemp("large")) as cluster:
        assert objects < OBJECTS or cluster.size_bytes >= WHOLE_BYTES
        yield cluster


def told_by_a_small_czar(settings, asked, directory, until_s):
    """Yield what queries came to that a czar of its own answers, and its most memory meanwhile; it ends when it holds too much.

    After some moment no other one is asked.
    """
    queries = [(name, entry.statement) for name, entry in asked.items()]
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    czar = spawning.Process(target=answer, args=(settings, queries, directory, theirs), daemon=True)
    czar.start()
    theirs.close()
    try:
        for name, _ in queries:
            most_bytes = 0
            while not ours.poll(LOOK_S):
                most_bytes = max(most_bytes, held_bytes(czar.pid))
                assert most_bytes <= LIMIT_BYTES, f"{name}: the czar holds {most_bytes / MEGABYTE:.0f} MB"
            yield ours.recv(), most_bytes
            if time.monotonic() > until_s:
                return
    except EOFError:
        pytest.fail(f"the czar ended at {name}")
    finally:
        czar.kill()
        czar.join()


@pytest.mark.nightly(share=20)
@pytest.mark.timeout(0)
def test_corpus_is_answered_in_little_memory(large, night, tmp_path, monkeypatch):
    # As the launcher starts a czar: the process that stands for one here takes its environment from this one.
    for name, value in GIVES_MEMORY_BACK.items():
        monkeypatch.setenv(name, value)
    known, begun_s = entries(), time.monotonic()
    asked = {name: known[name] for name in np.random.default_rng(night.seed).permutation(sorted(known)).tolist()}
    until_s = math.inf if night.seconds >= WHOLE_S else begun_s + night.seconds / 2
    told, held = zip(*told_by_a_small_czar(large.settings, asked, tmp_path, until_s), strict=True)
    asked_s = time.monotonic() - begun_s
    wrong, how = [], Counter()
    with large.connect() as plain:
        plain.execute(f"SET statement_timeout = '{SLOWEST_S}s'")
        for each in told:
            compared, found = checked(plain, asked[each.name], each, tmp_path)
            how[compared] += 1
            wrong += [f"{each.name}: {sentence}" for sentence in found]
    peak_bytes, name = max(zip(held, (each.name for each in told), strict=True))
    over = f"{len(told)} of {len(asked)} queries over {large.size_bytes / 1e9:.2f} GB in {asked_s / 60:.0f} minutes"
    night.say(f"{over}: at most {peak_bytes / MEGABYTE:.0f} MB, at {name}; compared by {dict(how)}")
    night.say(*(f"no answer to {each.name}: {each.error[:120]}" for each in told if each.error))
    assert not wrong, "\n".join(wrong)


def checked(plain, entry, told, directory):
    """Return by what an answer was compared with the oracle's, and what is wrong with it, in sentences."""
    if told.error:
        in_time = told.error.startswith(TimeLimitError.code) and told.name.startswith(GROWS)
        return "nothing: it met its time limit", [] if in_time else [told.error]
    query = entry.oracle or entry.query
    try:
        if told.rows <= FEW_ROWS and cut_rows(plain, query) <= MOST_ROWS:
            with pa.ipc.open_stream(rows_file(directory, told.name)) as rows:
                batches = list(rows)
            return "rows", differences(told, batches, ask_plain(plain, query), entry.within)
        return compared_by_sums(plain, query, told)
    except (psycopg.errors.QueryCanceled, psycopg.errors.SyntaxError, psycopg.errors.DuplicateAlias):
        return "nothing: too slow for one PostgreSQL, or no subquery", []


def cut_rows(plain, query):
    """Return the rows that the oracle has where LIMIT and OFFSET are taken off."""
    cut = cut_of(plain, query)
    if cut.limit is None:
        return 0
    return plain.execute(f"SELECT COUNT(*) FROM ({cut.select([], cut.window())}) AS q").fetchone()[0]  # noqa: S608 (the corpus)


def compared_by_sums(plain, query, told):
    """Compare the number of rows, and the sums of each column unless the oracle may have cut other rows."""
    has_limit = cut_of(plain, query).limit is not None
    names = [f"c{place}" for place in range(len(told.sums))]
    sums = [] if has_limit else [each.sql(name) for each, name in zip(told.sums, names, strict=True)]
    found = plain.execute(f"SELECT {', '.join(['COUNT(*)', *sums])} FROM ({query}) AS q ({', '.join(names)})").fetchone()  # noqa: S608 (the corpus)
    wrong = [] if found[0] == told.rows else [f"{told.rows:,} rows, the oracle has {found[0]:,}"]
    for column, each, (count, total) in zip(told.schema or [], told.sums, zip(found[1::2], found[2::2], strict=True), strict=False):
        if each.differs(count, total):
            wrong.append(f"column {column.name} has {each}, the oracle {count} and {total}")
    return "numbers of rows" if has_limit else "sums of columns", wrong

"""A czar that may hold 256 MB answers the whole corpus, over a survey that is many times as large.

Of 2 GB with ``--seconds 3600`` for this check alone (``pytest -m nightly tests/oracle/test_memory.py --seconds 3600``), which are
not those that it takes; with fewer seconds the tables are smaller, and not all queries are asked, in an order that follows from the
seed. The czar is the service that users ask, killed when it holds more: no limit of the system says the same (see `held_bytes`).
"""

import math
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from qserv.errors import QueryEvaluationError
from tests.oracle.asking import IN_WORDS, ask_plain, cut_of
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries, read_pending
from tests.oracle.large import large_cluster
from tests.oracle.limited import FEW_ROWS, MEGABYTE, ask, rows_file, watched_czar

LIMIT_BYTES = 256 * MEGABYTE

OBJECTS = 1_550_000
"""With their sources and all else, 2.1 GB of chunk tables without overlap and indexes."""

WHOLE_BYTES = 2_000_000_000
"""What so many have at the least."""

WHOLE_S = 3600
"""Seconds from which on there are as many; with fewer, the tables are smaller."""

LEAST_S = 60
"""With fewer there is nothing to see."""

SLOWEST_S = 150
"""What a query may take: a quarter of the default."""

ORACLE_S = 10
"""What the oracle may take for a query: two hundred of 1,912 take longer, at this size. Smaller tables compare them, too
(`test_corpus.py`)."""

BEHIND = 5
"""How many answers the oracle may be behind: of small tables the czar answers many while the oracle is at one."""

ASKING = 0.75
"""Part of the seconds that is left once the tables are loaded, or nearly."""

MOST_ROWS = 200_000
"""Rows that the oracle may hold for a comparison, where LIMIT takes any of them."""

NO_SUBQUERY = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.SyntaxError,
    psycopg.errors.DuplicateAlias,
    psycopg.errors.DatatypeMismatch,
)
"""What the oracle says of a query that takes it too long, or that cannot be one in FROM: OFFSET (SELECT NULL) is a text there."""


def entries(*, with_bigsky):
    """Return the entries of the corpus that have an answer."""
    refused = read_pending().refused
    known = read_entries("corpus").items()
    return {name: entry for name, entry in known if name not in refused and (with_bigsky or not entry.needs_bigsky)}


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


@pytest.mark.nightly(share=20)
@pytest.mark.timeout(0)
def test_corpus_is_answered_in_little_memory(large, night, tmp_path):
    known, begun_s = entries(with_bigsky=large.has_bigsky), time.monotonic()
    until_s = math.inf if night.seconds >= WHOLE_S else begun_s + night.seconds * ASKING
    held, told, comparing = {}, [], []
    with (
        large.connect() as plain,
        watched_czar(large.cluster.home, LIMIT_BYTES) as (czar, most_bytes),
        ThreadPoolExecutor(1) as beside,
    ):
        plain.execute(f"SET statement_timeout = '{ORACLE_S}s'")
        for name in np.random.default_rng(night.seed).permutation(sorted(known)).tolist():
            told.append(ask(czar, name, known[name], tmp_path))
            held[name] = most_bytes()
            assert held[name] <= LIMIT_BYTES, f"{name}: the czar holds {held[name] / MEGABYTE:.0f} MB"
            comparing.append(beside.submit(checked, plain, known[name], told[-1], tmp_path))
            if len(comparing) > BEHIND:
                comparing[-1 - BEHIND].result()
            if time.monotonic() > until_s:
                break
    compared = [each.result() for each in comparing]
    peak = max(held, key=held.__getitem__)
    asked, minutes = f"{len(held)} of {len(known)} queries", (time.monotonic() - begun_s) / 60
    how = dict(Counter(how for how, _ in compared))
    night.say(f"{asked} over {large.size_bytes / 1e9:.2f} GB in {minutes:.0f} minutes; compared by {how}")
    night.say(f"at most {held[peak] / MEGABYTE:.0f} MB, at {peak}")
    night.say(*(f"no answer to {each.name}: {each.error[:120]}" for each in told if each.error))
    wrong = [f"{name}: {sentence}" for name, (_, found) in zip(held, compared, strict=True) for sentence in found]
    assert not wrong, "\n".join(wrong)


def checked(plain, entry, told, directory):
    """Return by what an answer was compared with the oracle's, and what is wrong with it, in sentences."""
    query = entry.oracle or entry.query
    if told.error.startswith(QueryEvaluationError.code):
        # Sums of so many rows may be out of range.
        with pytest.raises(psycopg.errors.DataError, match=re.escape(told.error.partition(": ")[2])):
            plain.execute(query)
        return "the same error", []
    if told.error:
        return "nothing", [told.error]
    try:
        if told.rows <= FEW_ROWS and cut_rows(plain, query) <= MOST_ROWS:
            kept = rows_file(directory, told.name)
            with pa.ipc.open_stream(kept) as rows:
                batches = list(rows)
            kept.unlink()
            return "rows", differences(told, batches, ask_plain(plain, query), entry.within)
        return compared_by_sums(plain, query, told)
    except NO_SUBQUERY:
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
    described = plain.execute(f"SELECT * FROM ({query}) AS q LIMIT 0").description  # noqa: S608 (the corpus)
    if any(column.type_code in IN_WORDS for column in described):
        plain.execute("SET intervalstyle = 'iso_8601'")
    try:
        found = plain.execute(f"SELECT {', '.join(['COUNT(*)', *sums])} FROM ({query}) AS q ({', '.join(names)})").fetchone()  # noqa: S608 (the corpus)
    finally:
        plain.execute("RESET intervalstyle")
    wrong = [] if found[0] == told.rows else [f"{told.rows:,} rows, the oracle has {found[0]:,}"]
    for column, each, (count, total) in zip(told.schema or [], told.sums, zip(found[1::2], found[2::2], strict=True), strict=False):
        if each.differs(count, total):
            wrong.append(f"column {column.name} has {each}, the oracle {count} and {total}")
    return "numbers of rows" if has_limit else "sums of columns", wrong

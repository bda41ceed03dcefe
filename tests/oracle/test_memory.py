"""A czar with 256 MB answers the corpus over tables that are many times as large.

Nightly: 2 GB of tables with ``--seconds 1800``, which are those of asking; loading takes as long. With fewer seconds, the tables
are smaller.
"""

import asyncio
import multiprocessing
import random
import time
from collections import Counter

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, Role, Secrets
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor.services import worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries, read_pending
from tests.oracle.cutting import Cut
from tests.oracle.limited import FEW_ROWS, MEGABYTE, SMALL, answer, held_bytes, rows_file
from tests.oracle.plain import make_plain, plain_conninfo
from tests.support.sky import FELIS, TABLES, Survey

LIMIT_BYTES = 256 * MEGABYTE

OBJECTS = 1_700_000
"""With their sources and all else, 2 GB of tables."""

WHOLE_S = 1800
"""Seconds of asking for as many: each query of the corpus gets some three."""

LEAST_S = 60
"""With fewer there is nothing to see."""

SLOWEST_S = 60
"""Queries that take longer are counted: products of tables grow as the square of their rows."""

MOST_ROWS = 200_000
"""Rows that the oracle may hold for a comparison, where LIMIT takes any of them."""

LOOK_S = 0.01
"""How often it is looked at how much memory the czar holds."""

CHUNK_TARGET_ROWS = 20_000

UNREACHED = "query.limit"
"""Code of the errors that say which limit was met."""


def entries():
    """Return the entries of the corpus that are asked of the survey alone."""
    refused = read_pending().refused
    others = (
        "hipparcos",
        "observation",
        "bigsky",
        "points",
        "mates",
        "marks",
        "nothing",
        "lonely",
        "grain",
        "lump",
        "kind",
        "visit ",
    )
    survey = ("object", "source", "bright_", "deep_", "ccd_visit")
    return {
        name: entry
        for name, entry in read_entries("corpus").items()
        if name not in refused
        and any(word in entry.query.lower() for word in survey)
        and not any(word in entry.query.lower() for word in others)
    }


@pytest.fixture
def seconds(night):
    if night.seconds < LEAST_S:
        pytest.skip(f"{night.seconds:.0f} seconds are too few: it needs {LEAST_S}, and has 20 of 100 of --seconds")
    return night.seconds


@pytest.fixture
def large(seconds, cluster_home, tmp_path_factory):
    """Yield the settings of a cluster with a large survey, a connection to plain PostgreSQL with the same, and their size."""
    survey = Survey(round(OBJECTS * min(1.0, seconds / WHOLE_S)))
    settings = Settings(home=cluster_home / "large", nodes=3, tap_port=0, memory_share=0.2, query_timeout_s=SLOWEST_S, **SMALL)
    directory = tmp_path_factory.mktemp("large")
    files = {table: [directory / f"{table}.parquet"] for table in TABLES}
    for table, (path,) in files.items():
        survey.write(table, path)
    database = read_database(FELIS)
    with embedded_cluster(settings, services=worker_services) as cluster:
        secrets = Secrets.load(cluster.home)
        asyncio.run(_load(cluster, secrets, database, files, directory))
        make_plain(
            cluster.metadata, secrets, [database], {(database.name, table): pq.read_table(path) for table, (path,) in files.items()}
        )
        with psycopg.connect(plain_conninfo(cluster.metadata, secrets), autocommit=True) as plain:
            (size_bytes,) = plain.execute(
                "SELECT SUM(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'survey'::regnamespace"
            ).fetchone()
            yield settings, plain, int(size_bytes)


async def _load(cluster, secrets, database, files, directory):
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    options = LoadOptions(directory, CHUNK_TARGET_ROWS)
    try:
        await load_catalogue(engine, secrets.cluster.get_secret_value(), database, files, options=options)
    finally:
        await engine.dispose()


@pytest.mark.nightly(share=20)
@pytest.mark.timeout(0)
def test_corpus_is_answered_in_little_memory(large, seconds, night, tmp_path):
    settings, plain, size_bytes = large
    asked = list(entries().items())
    # In another order each night, because the time may not be enough for all.
    random.Random(night.seed).shuffle(asked)  # noqa: S311 (no secret)
    queries = [(name, entry.statement) for name, entry in asked]
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    czar = spawning.Process(target=answer, args=(settings, queries, tmp_path, theirs), daemon=True)
    czar.start()
    theirs.close()
    told, wrong, most, until = [], [], (0, ""), time.monotonic() + seconds
    try:
        while len(told) < len(queries) and time.monotonic() < until:
            if ours.poll(LOOK_S):
                told.append(ours.recv())
            else:
                most = max(most, (held_bytes(czar.pid), queries[len(told)][0]))
    except EOFError:
        wrong.append(f"the czar ended at {queries[len(told)][0]}")
    finally:
        czar.terminate()
        czar.join()
    plain.execute(f"SET statement_timeout = '{SLOWEST_S}s'")
    until = time.monotonic() + seconds
    how = Counter()
    for (_, entry), each in zip(asked, told, strict=False):
        if time.monotonic() < until:
            compared, found = checked(plain, entry, each, tmp_path)
            how[compared] += 1
            wrong += [f"{each.name}: {sentence}" for sentence in found]
    unanswered = [each for each in told if each.error]
    peak_bytes, name = most
    over, held = f"{len(told)} of {len(queries)} queries over {size_bytes / 1e9:.2f} GB", f"{peak_bytes / MEGABYTE:.0f} MB"
    night.say(f"{over}: at most {held}, at {name}; compared by {dict(how)}")
    night.say(*(f"no answer to {each.name}: {each.error[:120]}" for each in unanswered))
    assert not wrong, "\n".join(wrong)
    assert peak_bytes <= LIMIT_BYTES, name
    assert len(unanswered) < 0.05 * len(told)


def checked(plain, entry, told, directory):
    """Return by what an answer was compared with the oracle's, and what is wrong with it, in sentences."""
    if told.error:
        return "a limit", [] if told.error.startswith(UNREACHED) else [told.error]
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
    cut = Cut.of(query)
    if cut.limit is None:
        return 0
    return plain.execute(f"SELECT COUNT(*) FROM ({cut.select([], cut.window())}) AS q").fetchone()[0]  # noqa: S608 (the corpus)


def compared_by_sums(plain, query, told):
    """Compare the number of rows, and the sums of each column unless the oracle may have cut other rows."""
    has_limit = Cut.of(query).limit is not None
    names = [f"c{place}" for place in range(len(told.sums))]
    sums = [] if has_limit else [each.sql(name) for each, name in zip(told.sums, names, strict=True)]
    found = plain.execute(f"SELECT {', '.join(['COUNT(*)', *sums])} FROM ({query}) AS q ({', '.join(names)})").fetchone()  # noqa: S608 (the corpus)
    wrong = [] if found[0] == told.rows else [f"{told.rows:,} rows, the oracle has {found[0]:,}"]
    for column, each, (count, total) in zip(told.schema or [], told.sums, zip(found[1::2], found[2::2], strict=True), strict=False):
        if each.differs(count, total):
            wrong.append(f"column {column.name} has {each}, the oracle {count} and {total}")
    return "numbers of rows" if has_limit else "sums of columns", wrong

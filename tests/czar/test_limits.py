"""Each limit is met on a running cluster, and says what to do about it."""

import asyncio
import contextlib
import shutil
import threading
from dataclasses import dataclass

import psycopg
import pytest

from czar.session import Session
from qserv.cli.loading import Wish, load_with_progress
from qserv.cluster import NODE_DATABASE, Role, Secrets
from qserv.errors import (
    AnswerSizeError,
    MemoryLimitError,
    QueryCancelledError,
    RowLimitError,
    StepSizeError,
    TemporarySpaceError,
    TimeLimitError,
    TooManyQueriesError,
    UserBytesError,
    UserRowsError,
)
from qserv.settings import Settings
from qserv.supervisor.services import ingest_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.catalogues import data_path, schema_path
from tests.support.waiting import PATIENCE_S

SLOW = """
    SELECT COUNT(*) AS n FROM stars.hipparcos AS h, tap_schema.columns AS a, tap_schema.columns AS b, tap_schema.columns AS c
    WHERE h.magnitude + a.column_index * b.column_index * c.column_index > 1e9
"""
RANKS = "(SELECT hip, RANK() OVER (ORDER BY magnitude) AS r FROM stars.hipparcos)"
TWO_RANKS = f"FROM {RANKS} AS a, {RANKS} AS b"


@pytest.fixture
def session(archive):
    """Open sessions on the archive, with some settings changed."""

    @contextlib.asynccontextmanager
    async def opened(**changed):
        settings = archive.settings.model_copy(update=changed)
        session = await Session.open(archive.cluster, archive.secrets, settings)
        try:
            yield session
        finally:
            await session.close()

    return opened


async def read(session, query, **asked):
    answer = await session.query(query, **asked)
    return sum([batch.num_rows async for batch in answer.batches()])


async def in_time(session, query):
    """Read a query once it is answered within its time limit."""
    while True:
        with contextlib.suppress(TimeLimitError):
            return await read(session, query)


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for sets no event)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("changed", "query", "error", "told"),
    [
        ({"max_rows": 1000}, "SELECT hip FROM stars.hipparcos", RowLimitError, "more than 1,000 rows; .* LIMIT"),
        ({"max_answer_bytes": 100_000}, "SELECT hip FROM stars.hipparcos", AnswerSizeError, "larger than 100 kB .* fewer columns"),
        (
            {"max_step_bytes": 1_000_000},
            "SELECT h.*, RANK() OVER (ORDER BY magnitude) AS place FROM stars.hipparcos AS h",
            StepSizeError,
            r"^step s0, which reads hipparcos \(a window .*; PARTITION BY the director key would .*\): .* more than 1\.0 MB",
        ),
        (
            {"max_step_bytes": 1_000_000},
            f"SELECT a.hip {TWO_RANKS} WHERE a.r = b.r",
            StepSizeError,
            r"^step s0, which reads hipparcos \(.*\): .* more than 1\.0 MB",
        ),
        (
            {"merge_memory_bytes": 4_000_000, "max_merge_bytes": 1_000_000},
            "SELECT magnitude, bv, COUNT(*) AS n FROM stars.hipparcos GROUP BY magnitude, bv ORDER BY n, magnitude, bv",
            MemoryLimitError,
            r"more memory than the 1\.0 MB that a query may use; ask for fewer rows",
        ),
        ({"query_timeout_s": 2.0}, SLOW, TimeLimitError, "longer than its time limit"),
        (
            {"query_timeout_s": 3.0},
            f"SELECT COUNT(*) {TWO_RANKS} WHERE a.r + b.r < 0",
            TimeLimitError,
            "longer than its time limit",
        ),
    ],
)
def test_a_query_that_is_too_large_is_told_what_was(changed, query, error, told, session):
    async def ask():
        async with session(**changed) as czar:
            with pytest.raises(error, match=told):
                await read(czar, query)
            # Nothing is left behind: the next query is answered, where the machine is quick enough for its limit.
            async with asyncio.timeout(PATIENCE_S):
                assert await in_time(czar, "SELECT COUNT(*) FROM stars.hipparcos WHERE bv < 0") == 1
            assert czar.running == {}

    asyncio.run(ask())


def test_an_answer_that_its_reader_cuts_is_none_that_is_too_large(session):
    async def ask():
        async with session(max_rows=1000) as czar:
            assert await read(czar, "SELECT hip FROM stars.hipparcos", max_rows=1001) == 1001
            assert await read(czar, "SELECT hip FROM stars.hipparcos LIMIT 1000") == 1000

    asyncio.run(ask())


def test_queries_wait_for_their_turn_and_are_refused_when_none_comes(session):
    async def ask():
        async with session(max_queries=1, queue_wait_s=0.2) as czar:
            slow = asyncio.create_task(read(czar, SLOW, user="a"))
            await until(lambda: czar.running)
            with pytest.raises(TooManyQueriesError, match=r"^1 queries run already, and none ended within 0.2 s; ") as refused:
                await read(czar, "SELECT 1", user="b")
            assert refused.value.retryable
            patient = asyncio.create_task(read(czar, "SELECT 1", user="b", patient=True))
            cancelled = asyncio.create_task(read(czar, "SELECT 2", user="c", patient=True))
            await until(lambda: len(czar.running) == 3)
            next(one for one in czar.running.values() if one.user == "c").cancel()
            with pytest.raises(QueryCancelledError, match="while it waited"):
                await cancelled
            assert not patient.done()
            next(one for one in czar.running.values() if one.user == "a").cancel()
            with pytest.raises(QueryCancelledError):
                await slow
            assert await patient == 1
            assert b'qserv_queries_total{dialect="native",outcome="refused"} 1.0' in czar.metrics.text()

    asyncio.run(ask())


def test_a_user_holds_up_no_other(session):
    async def ask():
        async with session(max_queries=5, max_queries_per_user=1, queue_wait_s=0.2) as czar:
            slow = asyncio.create_task(read(czar, SLOW, user="a"))
            await until(lambda: czar.running)
            with pytest.raises(TooManyQueriesError, match="1 queries of a run already"):
                await read(czar, "SELECT 1", user="a")
            assert await read(czar, "SELECT 1", user="b") == 1
            next(iter(czar.running.values())).cancel()
            with pytest.raises(QueryCancelledError):
                await slow
            assert await read(czar, "SELECT 1", user="a") == 1

    asyncio.run(ask())


def test_a_user_reads_so_much_and_others_read_on(session):
    async def ask():
        async with session(max_rows_per_user=3000, user_window_s=3600.0) as czar:
            bright = "SELECT hip FROM stars.hipparcos WHERE magnitude < 5"
            assert await read(czar, bright, user="reader") > 1500
            with pytest.raises(UserRowsError, match="reader has read the 3,000 rows that a user may within 3600 s; "):
                await read(czar, bright, user="reader")  # stopped on its way
            with pytest.raises(UserRowsError):
                await read(czar, "SELECT 1", user="reader")
            assert await read(czar, bright, user="another") > 1500
            assert b'qserv_queries_total{dialect="native",outcome="refused"} 2.0' in czar.metrics.text()
        async with session(max_bytes_per_user=20_000) as czar:
            with pytest.raises(UserBytesError, match=r"a third has read the 20\.0 kB that a user may"):
                await read(czar, "SELECT hip, ra_degrees FROM stars.hipparcos", user="a third")
            assert czar.running == {}

    asyncio.run(ask())


async def refused(czar, user, error, told):
    """Return once a czar refuses what a user asks: it hears of the others within a second."""

    async def ask_on():
        while True:
            await read(czar, "SELECT 1", user=user)

    with pytest.raises(error, match=told):
        await asyncio.wait_for(ask_on(), PATIENCE_S)


def test_a_user_reads_so_much_from_all_czars_together(session):
    limits = {"max_rows_per_user": 1000}

    async def ask():
        async with session(**limits) as one, session(**limits) as other:
            assert await read(one, "SELECT hip FROM stars.hipparcos LIMIT 1000", user="of two") == 1000
            await refused(other, "of two", UserRowsError, "of two has read the 1,000 rows")
            assert await read(other, "SELECT 1", user="of one") == 1
        async with session(**limits) as later:
            await refused(later, "of two", UserRowsError, "of two has read the 1,000 rows")

    asyncio.run(ask())


def test_a_user_has_so_many_queries_on_all_czars_together(session):
    limits = {"max_queries_per_user": 1, "queue_wait_s": 0.1}

    async def ask():
        async with session(**limits) as one, session(**limits) as other:
            slow = asyncio.create_task(read(one, SLOW, user="of two"))
            await until(lambda: one.running)
            await refused(other, "of two", TooManyQueriesError, "1 queries of of two run already")
            assert await read(other, "SELECT 1", user="of one") == 1
            patient = asyncio.create_task(read(other, "SELECT 1", user="of two", patient=True))
            await until(lambda: other.running)
            next(iter(one.running.values())).cancel()
            with pytest.raises(QueryCancelledError):
                await slow
            async with asyncio.timeout(PATIENCE_S):
                assert await patient == 1

    asyncio.run(ask())


@pytest.fixture(scope="module")
def narrow(cluster_home):
    """A cluster whose queries may use one megabyte of temporary files."""
    settings = Settings(
        home=cluster_home / "narrow", nodes=1, tap_port=0, memory_share=0.001, worker_threads=3, max_temporary_bytes=1_000_000
    )
    with embedded_cluster(settings, services=lambda found: worker_services(found) + ingest_services(found)) as cluster:
        load_with_progress(settings, Wish(schema_path("stars"), {"hipparcos": [data_path("hipparcos.parquet")]}), quiet=True)
        secrets = Secrets.load(cluster.home)
        with psycopg.connect(cluster.nodes[0].postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets), autocommit=True) as admin:
            # So little memory for a sort that a third of the limit is more.
            admin.execute(f"ALTER ROLE {Role.READER} SET work_mem = '64kB'")
        yield cluster, secrets, settings
    shutil.rmtree(settings.home)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "SELECT h.hip FROM hipparcos AS h, tap_schema.columns AS c ORDER BY c.description, h.hip LIMIT 1000000",
            "this part of the query need more disk",
        ),
        (
            "SELECT h.*, RANK() OVER (ORDER BY magnitude) AS place FROM stars.hipparcos AS h",
            "in the scratch database need more disk",
        ),
    ],
)
def test_temporary_files_are_limited_on_nodes_and_in_the_scratch_database(query, told, narrow):
    async def ask():
        session = await Session.open(*narrow)
        try:
            with pytest.raises(TemporarySpaceError, match=f"{told}.*temp_file_limit.*; select fewer columns"):
                await read(session, query)
            assert await read(session, "SELECT COUNT(*) FROM stars.hipparcos WHERE bv < 0") == 1
        finally:
            await session.close()

    asyncio.run(ask())


TRIES = 10
"""How often a query that ends too large is asked."""


@dataclass
class TemporaryFiles:
    """Looks at the temporary files of a node for as long as the block lasts."""

    conninfo: str
    most_bytes: int = 0
    most_statements: int = 0

    def __enter__(self):
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look)
        self._looking.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._looking.join()

    def _look(self):
        with psycopg.connect(self.conninfo, autocommit=True) as admin:
            while not self._over.is_set():
                # A file is named after the process that wrote it: pgsql_tmp<process>.<number>.
                found = admin.execute("SELECT split_part(name, '.', 1), sum(size) FROM pg_ls_tmpdir() GROUP BY 1").fetchall()
                self.most_bytes = max(self.most_bytes, sum(size for _, size in found))
                self.most_statements = max(self.most_statements, len(found))


def test_the_statements_of_a_query_use_no_more_than_its_limit_together(narrow):
    cluster, secrets, settings = narrow
    sorted_pairs = (
        "SELECT h.hip FROM hipparcos AS h, tap_schema.columns AS c WHERE c.column_index = 1 AND h.hip % 100 < {share}"
        " ORDER BY h.magnitude, h.hip LIMIT 1000000"
    )

    async def ask(share):
        session = await Session.open(*narrow)
        try:
            return await read(session, sorted_pairs.format(share=share))
        finally:
            await session.close()

    with TemporaryFiles(cluster.nodes[0].postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets)) as files:
        assert asyncio.run(ask(2)) > 10_000
        # What it is just before its end is not seen each time.
        for _ in range(TRIES):
            # A statement for one chunk, the least there is, needs less than the limit; three at once need twice as much.
            with pytest.raises(TemporarySpaceError) as met:
                asyncio.run(ask(40))
            if files.most_bytes > settings.max_temporary_bytes / 4 and files.most_statements > 1:
                break
    assert met.value.code == "query.limit.temporary_space"
    assert files.most_statements > 1
    assert settings.max_temporary_bytes / 4 < files.most_bytes <= settings.max_temporary_bytes

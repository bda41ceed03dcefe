"""A load, or a worker, that is killed before or behind any durable step: what users see is whole, and the same load heals all.

What is stored is compared by the number of rows and a hash of their content, of every table on every replica, with what an
undisturbed load stores.
"""

import asyncio
import dataclasses
import random
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.load import LoadOptions
from qserv.errors import NodeUnavailableError
from qserv.metadata.engine import connect
from qserv.metadata.nodes import register_node
from qserv.metadata.transactions import TransactionState, list_transactions, uncleared
from schema.model import Column, ColumnType, Table, TableRole
from tests.support.killable import KillableWorker, Tokens, load_in_process
from tests.support.steps import failpoints
from tests.support.waiting import until
from workers.client import WorkerClient

pytestmark = pytest.mark.anyio

OPTIONS = {"chunk_target_rows": 150, "replicas": 2, "run_bytes": 4_000}

SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (Column("source_id", ColumnType.LONG), Column("object_id", ColumnType.LONG), Column("flux", ColumnType.DOUBLE)),
    ("source_id",),
    director="object",
    director_key="object_id",
)
VISIT = Table("visit", TableRole.REPLICATED, (Column("visit", ColumnType.LONG),), ())

FIRST = "ingest.tap_schema.register"
"""Is done once in the life of a metadata database, by the first load."""

FAILED = "ingest.transaction.abort"
"""Is done by a load that fails."""

STARTED = "worker.functions.install"
"""Is done by a worker that starts."""

OTHERS = {"indexing", "columns", "append", "merge", "withdraw"}

SOME = 9
"""Points at which `make test` kills; the nightly checks kill at all."""


def points_of_loads():
    """Return all points but those of the service, of indexing and of appending, which have tests of their own."""
    return [point for point in failpoints() if not point.startswith("service.") and point.split(".")[1] not in OTHERS]


def some_points():
    """Return as many of all points, spread over them, so that each step is met before or behind it."""
    points = points_of_loads()
    return [points[place * len(points) // SOME] for place in range(SOME)]


def rows(count, seed):
    random = np.random.default_rng(seed)
    objects = {
        "id": np.arange(count),
        "ra": random.uniform(20, 70, count),
        "dec": random.uniform(-2, 2, count),
        "flux": random.normal(size=count).astype(np.float32),
        "name": [f"o{seed}"] * count,
    }
    sources = {"source_id": np.arange(2 * count), "object_id": np.arange(2 * count) // 2, "flux": random.normal(size=2 * count)}
    return {"object": objects, "source": sources, "visit": {"visit": np.arange(seed)}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of the rows of two versions, and of one with a bad row."""
    directory, made = tmp_path_factory.mktemp("files"), {}
    bad = rows(300, 7)
    bad["source"]["object_id"] = pa.array([*range(599), None])
    for version, tables in {"old": rows(240, 5), "new": rows(300, 7), "bad": bad}.items():
        made[version] = {table: directory / f"{version}-{table}.parquet" for table in tables}
        for table, columns in tables.items():
            pq.write_table(pa.table(columns), made[version][table])
    return made


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return Tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def workers(postgres_cluster, tokens, tmp_path_factory):
    """A worker beside each node, and the directory of the rows that wait."""
    runs = tmp_path_factory.mktemp("runs")
    nodes = [dataclasses.replace(node, worker_port=0) for node in postgres_cluster.cluster.nodes]
    started = [KillableWorker(node, postgres_cluster.home, runs / node.node, tokens) for node in nodes]
    yield started, runs
    for worker in started:
        worker.close()


@pytest.fixture
async def killable(archive, workers, tokens):
    """The archive, with workers that can be killed."""
    started, archive.runs = workers
    async with connect(archive.engine) as connection, connection.begin():
        for node, worker in zip(archive.nodes, started, strict=True):
            await register_node(connection, dataclasses.replace(node, worker_port=worker.port))
    yield archive
    tokens.disarm()


class Loads:
    """Loads versions into an archive, and tells what is stored."""

    def __init__(self, archive, object_table, files, tokens, references):
        self.archive, self.files, self.tokens, self.references = archive, files, tokens, references
        self.database = archive.database(object_table, SOURCE, VISIT)

    async def disturbed(self, version):
        """Load a version, or all that is left of it, in a process of its own."""
        load = (self.archive, self.database, self.files[version], self.tokens)
        return await asyncio.to_thread(load_in_process, *load, **OPTIONS, replace=True)

    async def undisturbed(self, version):
        """Load a version; return what is stored of it, and what is shown."""
        options = LoadOptions(**OPTIONS, replace=True)
        await self.archive.load(self.database, options=options, **self.files[version])
        return self.stored(), await self.shown()

    def stored(self, content="to_jsonb(t) - '_contribution'"):
        """Return rows and hashes of all physical tables: of each the set of those of its replicas."""
        found = {}
        for place in (0, 1):
            names = self.archive.ask(place, f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.archive.name}'")  # noqa: S608
            for (name,) in names:
                sql = f"SELECT count(*), sum(hashtextextended(({content})::text, 0)::numeric)"
                (facts,) = self.archive.ask(place, f'{sql} FROM "{self.archive.name}"."{name}" AS t')
                found.setdefault(name, set()).add(facts)
        return found

    async def shown(self):
        """Return the same of the tables of chunks that users see, and the tables' names."""
        tables = [table for table in (await self.archive.catalogue()).tables if table.database == self.archive.name]
        stored = self.stored()
        return {
            name: stored[name]
            for table in tables
            for chunk, count in zip(table.chunks, table.row_counts, strict=True)
            if count and (name := table.name if chunk == -1 else f"{table.name}_{chunk}")
        }

    async def nothing_is_left(self):
        """Check that nothing of an earlier load is anywhere."""
        assert not [path for path in self.archive.runs.rglob("*") if path.is_file()]
        async with connect(self.archive.engine) as connection:
            states = [each.state for each in await list_transactions(connection, limit=100)]
            assert TransactionState.OPEN not in states
            assert await uncleared(connection) == []
            indexes = await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'director_index'")
            assert indexes.scalars().all() == [f"{self.archive.name}.object"]
        tables = (await self.archive.catalogue(unpublished=True)).tables
        assert {table.name for table in tables if table.database != "tap_schema"} == {"object", "source", "visit"}
        assert all(table.published for table in tables)
        schemas = [self.archive.ask(place, "SELECT nspname FROM pg_namespace WHERE nspname LIKE '~%'") for place in (0, 1)]
        assert schemas == [[], []]


@pytest.fixture(scope="module")
def references():
    """What was stored of each version when it was first loaded."""
    return {}


@pytest.fixture
def loads(killable, object_table, files, tokens, references):
    return Loads(killable, object_table, files, tokens, references)


async def killed_at(loads, workers, point):
    """Kill what comes to a point, in the load that comes there; check what is seen, load again, and check what is stored."""
    step = point.rpartition(".")[0]
    old = ({}, {}) if step == FIRST else await loads.undisturbed("old")
    loads.tokens.arm(point)
    if step == STARTED:
        workers[0].kill()
    ended = await loads.disturbed("bad" if step == FAILED else "new")
    until(lambda: loads.tokens.went_off(point))
    assert (ended.returncode == -signal.SIGKILL) == point.startswith("ingest."), ended.stderr
    seen = await loads.shown()
    reachable(loads, workers)
    new = await loads.undisturbed("new")
    # A load that replaces tables hides them for a moment: all of them are seen, or none.
    assert seen in (old[1], new[1], {})
    assert old != new
    assert all(len(facts) == 1 for facts in loads.stored("t").values())
    assert new == loads.references.setdefault("new", new)
    assert old == loads.references.setdefault("none" if step == FIRST else "old", old)
    await loads.nothing_is_left()


async def forget_all(loads):
    """Make nodes and metadata as they were before the first load."""
    loads.archive.drop()
    async with connect(loads.archive.engine) as connection, connection.begin():
        await connection.exec_driver_sql("TRUNCATE tables, databases, chunk_maps, transactions CASCADE")
        await connection.exec_driver_sql(f'DROP TABLE director_index."{loads.archive.name}.object"')


def reachable(loads, workers):
    """Wait until all workers answer."""
    secret = loads.archive.secrets.cluster.get_secret_value()
    for worker in workers:
        with WorkerClient("127.0.0.1", worker.port, secret) as client:
            until(lambda client=client: answers(client))


def answers(client):
    try:
        return bool(client.health())
    except NodeUnavailableError:
        return False


@pytest.mark.parametrize("point", some_points())
async def test_a_process_killed_at_some_point(loads, workers, point):
    await killed_at(loads, workers[0], point)


@pytest.mark.nightly(share=0.1)
async def test_a_process_killed_at_every_point(loads, workers, night):
    """All points, in an order of the seed's; then any, until the time is over."""
    chance = random.Random(night.seed)  # noqa: S311 (no secret)
    points, ends, killed = points_of_loads(), time.monotonic() + night.seconds, 0
    chance.shuffle(points)
    while points or time.monotonic() < ends:
        point = points.pop() if points else chance.choice(points_of_loads())
        night.say(f"killed at {point}")
        if point.startswith(FIRST) and killed:
            await forget_all(loads)
        await killed_at(loads, workers[0], point)
        killed += 1
    night.say(f"{killed} processes were killed")

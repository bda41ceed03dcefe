"""A service over real HTTP, with an engine that is small: it answers from one table, well or badly as the query asks."""

import asyncio
import dataclasses
import socket
import threading
from collections.abc import AsyncIterator

import httpx
import pyarrow as pa
import pytest
import uvicorn
from sqlglot import exp

from qserv.errors import NodeUnavailableError, QueryEvaluationError, UnknownNameError
from qserv.settings import Settings
from schema.model import Column, ColumnType, Database, ForeignKey, Frame, Table, TableRole
from tap.app import create_app
from tests.support.waiting import PATIENCE_S, until

STARS = Table(
    "stars",
    TableRole.DIRECTOR,
    (
        Column("hip", ColumnType.INT, "Number in the catalogue.", ucd="meta.id;meta.main", principal=True, nullable=False),
        Column("ra", ColumnType.DOUBLE, "Right ascension & more.", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main"),
        Column("name", ColumnType.STRING, length=20),
        Column("size", ColumnType.FLOAT, unit="arcsec"),
    ),
    primary_key=("hip",),
    description="Stars <of> a test.",
    ra="ra",
    dec="dec",
    director_key="hip",
    frame=Frame("ICRS", "J1991.25"),
)
PAIRS = Table(
    "pairs",
    TableRole.REPLICATED,
    (Column("a", ColumnType.INT), Column("b", ColumnType.INT)),
    foreign_keys=(ForeignKey("pairs_a", ("a",), "stars", ("hip",)),),
)
DATABASE = Database("test", "sky", (STARS, PAIRS), "Two tables.")
ROWS = 10_000
STARS_ROWS = pa.table(
    {
        "hip": pa.array(range(ROWS), pa.int32()),
        "ra": [i * 360 / ROWS for i in range(ROWS)],
        "dec": [None if i % 100 == 0 else (i % 180) - 89.5 for i in range(ROWS)],
        "name": [None if i % 7 == 0 else f"star <{i}>" for i in range(ROWS)],
        "size": pa.array([i / 7 for i in range(ROWS)], pa.float32()),
    }
)
BATCH_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class FakeCatalogue:
    databases: tuple[Database, ...] = (DATABASE,)

    def row_count(self, database, table):
        assert database == "test"
        return {"stars": ROWS, "pairs": 12}[table]


@dataclasses.dataclass(frozen=True)
class FakeColumn:
    name: str
    column: Column
    table: Table


class FakeAnswer:
    def __init__(self, engine, rows, name):
        self.engine, self.rows, self.table_name = engine, rows, name
        self.query_id = f"query-{len(engine.asked)}"
        self.schema = rows.schema
        self.columns = tuple(FakeColumn(column.name, column, STARS) for column in STARS.columns)

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        try:
            if self.table_name == "evaluation":
                message = "division by zero"
                raise QueryEvaluationError(message)
            for count, batch in enumerate(self.rows.to_batches(max_chunksize=BATCH_ROWS)):
                if self.table_name == "flaky" and count == 2:
                    message = "node-2 <went> away"
                    raise NodeUnavailableError(message)
                if self.table_name == "crash" and count == 2:
                    message = "password=secret"
                    raise RuntimeError(message)
                if self.table_name == "held" and count == 1:
                    await asyncio.to_thread(self.engine.go_on.wait, PATIENCE_S)
                if self.table_name == "slow":
                    await asyncio.sleep(0.1)
                yield batch
        finally:
            await self.close()

    async def close(self):
        self.engine.closed.append(self.query_id)


class FakeSession:
    """Answers every query with all stars. The table that is named says how: well, or ``flaky``, ``slow``, ``crash``, ...

    After its first rows, ``held`` waits until `go_on` is set.
    """

    def __init__(self):
        self.asked, self.closed = [], []
        self.go_on = threading.Event()
        self.the_catalogue = FakeCatalogue()

    async def catalogue(self):
        return self.the_catalogue

    async def query(self, statement, *, dialect="native", user="anonymous", max_rows=None, text=None):
        assert (dialect, user) == ("adql", "anonymous")
        name = statement.find(exp.Table).name
        self.asked.append((statement.sql("postgres"), text, max_rows))
        if name == "missing":
            message = "unknown table missing; did you mean stars?"
            raise UnknownNameError(message)
        if name == "down":
            message = "node-1 does not answer"
            raise NodeUnavailableError(message)
        if name == "bug":
            message = "password=secret"
            raise RuntimeError(message)
        if name == "frozen":
            try:
                await asyncio.sleep(10 * PATIENCE_S)
            finally:
                self.closed.append("frozen")
        limit = statement.args.get("limit")
        counts = [ROWS] + ([int(limit.expression.name)] if limit else []) + ([] if max_rows is None else [max_rows])
        return FakeAnswer(self, STARS_ROWS.slice(0, min(counts)), name)


@dataclasses.dataclass
class Service:
    host: str
    port: int
    engine: FakeSession

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def get(self, query, **parameters):
        return httpx.get(f"{self.url}/tap/sync", params={"LANG": "ADQL", "QUERY": query, **parameters}, timeout=PATIENCE_S)


@pytest.fixture(scope="session")
def service():
    engine = FakeSession()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        app = create_app(engine, Settings(max_rows=9000, query_timeout_s=60))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        until(lambda: server.started)
        yield Service("127.0.0.1", port, engine)
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _forget(service):
    service.engine.asked.clear()
    service.engine.closed.clear()
    service.engine.go_on.clear()

"""A worker beside a real PostgreSQL, reached through real Flight on loopback."""

import dataclasses
import itertools

import psycopg
import pyarrow as pa
import pytest

from qserv.cluster import NODE_DATABASE, Role
from schema.physical import relation
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.factory import make_server
from workers.functions import install
from workers.protocol import ChunkLoad, ChunkQuery, ChunkTask
from workers.table_actions import DropTable, PrepareTable

DATABASE = "worker_test"

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def node(postgres_cluster):
    """The node with a worker port of its own choice."""
    return dataclasses.replace(postgres_cluster.cluster.nodes[0], worker_port=0)


@pytest.fixture(scope="session")
def server(node, postgres_cluster, tmp_path_factory):
    conninfo = node.postgres.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets)
    with psycopg.connect(conninfo, autocommit=True) as session:
        install(session)
    server = make_server(node, postgres_cluster.secrets, tmp_path_factory.mktemp("runs"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def client(server, postgres_cluster):
    with WorkerClient("127.0.0.1", server.port, postgres_cluster.secrets.cluster.get_secret_value()) as client:
        yield client


@pytest.fixture
def loader(node, postgres_cluster):
    """A session of the role that owns the tables."""
    conninfo = node.postgres.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets)
    with psycopg.connect(conninfo, autocommit=True) as session:
        yield session


@pytest.fixture
def admin(node, postgres_cluster):
    """A session that sees what others run."""
    conninfo = node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, postgres_cluster.secrets)
    with psycopg.connect(conninfo, autocommit=True) as session:
        yield session


@pytest.fixture
def query_id(request):
    """A new name for a query."""
    return f"{request.node.name}-{next(_NUMBERS)}"


@pytest.fixture
def ask(client, query_id):
    """Run SQL as a chunk query of one chunk without tables; return its Arrow table."""

    def run(sql, timeout_s=20.0):
        query = ChunkQuery(query_id, sql, (ChunkTask(12, {}),), timeout_s)
        with client.query(query) as answer:
            return pa.Table.from_batches([batch for batch, _ in answer], answer.schema)

    return run


@pytest.fixture
def prepared(client):
    """Prepare tables; they are dropped after the test."""
    made = []

    def prepare(table):
        client.prepare(PrepareTable(DATABASE, table_to_json(table)))
        made.append(table.name)
        return table

    yield prepare
    for name in made:
        client.drop(DropTable(DATABASE, name))


@pytest.fixture
def load(client):
    """Load an Arrow table as one chunk of a table."""

    def run(table, rows, chunk, part="base"):
        return client.load(ChunkLoad(DATABASE, table_to_json(table), chunk, part), rows.schema, rows.to_batches()).rows

    return run


@pytest.fixture
def scan(query_id):
    """Make a chunk query that reads chunk tables whole."""

    def make(table, chunks, select="*", timeout_s=20.0):
        tasks = tuple(ChunkTask(chunk, {"t": relation(DATABASE, table.name, chunk)}) for chunk in chunks)
        return ChunkQuery(query_id, f"SELECT {select} FROM {{t}}", tasks, timeout_s)  # noqa: S608 (a test's own text)

    return make


@pytest.fixture
def conninfo(node, postgres_cluster):
    return node.postgres.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets)

"""``archive``: workers beside two real nodes and a metadata database of its own; loads files and looks at what is stored."""

import dataclasses
import uuid
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.load import LoadOptions, load_catalogue
from partitioner.chunkmap import ChunkMap
from qserv.cluster import NODE_DATABASE, Role
from qserv.metadata.catalogue import load_catalogue as read_catalogue
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.migrate import upgrade
from qserv.metadata.nodes import Node, register_node
from schema.model import Column, ColumnType, Database, Table, TableRole
from schema.physical import column_list
from schema.serialise import column_from_json, table_from_json
from workers.factory import make_server

OBJECT = Table(
    "object",
    TableRole.DIRECTOR,
    (
        Column("id", ColumnType.LONG, nullable=False),
        Column("ra", ColumnType.DOUBLE),
        Column("dec", ColumnType.DOUBLE),
        Column("flux", ColumnType.FLOAT),
        Column("name", ColumnType.STRING, length=8),
    ),
    ("id",),
    ra="ra",
    dec="dec",
    director_key="id",
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def object_table():
    return OBJECT


@pytest.fixture
def write(tmp_path):
    """Write columns, or an Arrow table, as a Parquet file."""

    def run(rows, name="rows.parquet"):
        pq.write_table(rows if isinstance(rows, pa.Table) else pa.table(rows), tmp_path / name)
        return tmp_path / name

    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Where the rows of all nodes wait."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def ingest_nodes(postgres_cluster, runs):
    """Two nodes with running workers."""
    servers = [
        make_server(dataclasses.replace(node, worker_port=0), postgres_cluster.secrets, runs / node.node)
        for node in postgres_cluster.cluster.nodes
    ]
    yield [
        Node(node.node, node.host, node.postgres_port, server.port)
        for node, server in zip(postgres_cluster.cluster.nodes, servers, strict=True)
    ]
    for server in servers:
        server.close()


class Archive:
    """A cluster to load into. Databases have a name of the test's own on the nodes."""

    def __init__(self, engine, nodes, cluster, runs):
        self.engine = engine
        self.nodes = nodes
        self.secrets = cluster.secrets
        self.addresses = cluster.cluster.nodes
        self.runs = runs
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self.options = LoadOptions(chunk_target_rows=400)

    def database(self, *tables, overlap_deg=0.5):
        return Database(self.name, self.name, tables, overlap_deg=overlap_deg)

    async def load(self, database, progress=lambda _: None, options=None, **files):
        paths = {table: [path] if isinstance(path, Path) else path for table, path in files.items()}
        secret = self.secrets.cluster.get_secret_value()
        return await load_catalogue(self.engine, secret, database, paths, options=options or self.options, progress=progress)

    async def catalogue(self, **options):
        async with connect(self.engine) as connection:
            return await read_catalogue(connection, statistics=True, **options)

    async def table(self, name):
        """Return the row of a published table."""
        (row,) = [row for row in (await self.catalogue()).tables if (row.database, row.name) == (self.name, name)]
        return row

    async def chunk_map(self):
        """Return the chunk map of the database's family."""
        (family,) = [family for family in (await self.catalogue()).families if family.family == self.name]
        return ChunkMap.from_nuniq(family.chunks)

    def ask(self, node, sql, role=Role.READER):
        """Run SQL on a node, given by its place or name."""
        names = [address.node for address in self.addresses]
        address = self.addresses[names.index(node) if isinstance(node, str) else node]
        with psycopg.connect(address.postgres.conninfo(role, NODE_DATABASE, self.secrets), autocommit=True) as session:
            cursor = session.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def rows(self, row, *, overlap=False):
        """Return the rows of a table, declared columns before the hidden ones, by chunk, each read from its first replica."""
        table = table_from_json(row.declaration, map(column_from_json, row.columns))
        names = column_list(column.name for column in (*table.columns, *table.hidden))
        suffix = "_overlap" if overlap else ""
        counts = row.overlap_row_counts if overlap else row.row_counts
        asked = f'SELECT {names} FROM "{self.name}"."{row.name}_{{}}{suffix}"'  # noqa: S608 (quoted names)
        return {
            chunk: self.ask(row.replicas[chunk][0], asked.format(chunk))
            for chunk, count in zip(row.chunks, counts, strict=True)
            if count
        }

    def physical_tables(self, database=None):
        """Return the names of all tables of the test's database, or another one, on all nodes."""
        found = [self.ask(place, "SELECT schemaname, tablename FROM pg_tables") for place in (0, 1)]
        return sorted(name for rows in found for schema, name in rows if schema == (database or self.name))

    def drop(self):
        for place in range(len(self.addresses)):
            self.ask(place, f'DROP SCHEMA IF EXISTS "{self.name}", tap_schema CASCADE', Role.LOADER)


@pytest.fixture
async def archive(postgres_cluster, ingest_nodes, runs):
    address, secrets = postgres_cluster.cluster.metadata, postgres_cluster.secrets
    name = f"ingest_{uuid.uuid4().hex}"
    with psycopg.connect(address.conninfo(Role.ADMIN, "postgres", secrets), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER {Role.METADATA}")
        url = address.sqlalchemy_url(Role.METADATA, name, secrets)
        upgrade(url)
        engine = make_engine(url)
        async with connect(engine) as connection, connection.begin():
            for node in ingest_nodes:
                await register_node(connection, node)
        archive = Archive(engine, ingest_nodes, postgres_cluster, runs)
        yield archive
        archive.drop()
        await engine.dispose()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

"""The two sides: a cluster of three nodes, asked through the czar's API, and one plain PostgreSQL with the same rows and memory."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from czar.service.client import Czar
from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Cluster, PostgresAddress, Role, Secrets
from qserv.embedded.launch import embedded_postgres
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor.services import czar_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.ddl import index_statements, prototype_statements, schema_statement
from schema.felis import read_database
from schema.model import Database
from schema.physical import quote, relation
from tests.support.sky import FELIS, Survey
from workers.functions import install

NODES = 3

SERVERS = NODES + 1
"""With the metadata server, which has the same share of memory as a node."""

TABLES = ("object", "source", "deep_ref")

PARALLEL_WORKERS = 8
"""Of one query of plain PostgreSQL, and of all together: PostgreSQL has no more processes unless it is told so. The workers of the
cluster run at most as many statements side by side."""

TARGET_ROWS = 200_000
"""Rows of all tables in a chunk at full size: as `chunk_target_rows` has it. Smaller surveys have smaller chunks, so that there are
several on every node."""

PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Data:
    """The survey, and where its files and servers are."""

    survey: Survey
    home: Path
    scale: float

    @property
    def database(self) -> Database:
        """Its tables, those that are measured."""
        return read_database(FELIS)

    @property
    def target_rows(self) -> int:
        """Rows of a chunk at the most."""
        return max(2_000, round(TARGET_ROWS * min(1.0, 5 * self.scale)))


@dataclass
class Side:
    """One of the two: its PostgreSQL servers, open sessions to them, and process numbers."""

    sessions: list[psycopg.Connection]
    data_directories: list[Path]
    settings: dict[str, str]

    @property
    def postmasters(self) -> list[int]:
        """Process numbers of the servers."""
        return [int((directory / "postmaster.pid").read_text().split()[0]) for directory in self.data_directories]

    def size_bytes(self) -> int:
        """Return how large the tables are on disk."""
        total = 0
        for session in self.sessions:
            found = session.execute(
                "SELECT sum(pg_table_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'survey' AND c.relkind = 'r'"
            ).fetchone()
            total += int((found or (0,))[0] or 0)
        return total


@dataclass
class Archive(Side):
    """The cluster."""

    cluster: Cluster
    home: Path
    czar: Czar = field(repr=False)

    def ask(self, query: str) -> object:
        """Return all rows of an answer of the czar's API."""
        return self.czar.query(query)

    def chunks(self, table: str) -> list[tuple[int, psycopg.Connection, str]]:
        """Return number, node and quoted name of the tables of chunks that have rows, along the sky."""
        found = []
        for session in self.sessions:
            names = session.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'survey' AND tablename ~ %s", [rf"^{table}_\d+$"]
            ).fetchall()
            found += [(int(name.rpartition("_")[2]), session, f'"survey".{quote(name)}') for (name,) in names]
        return sorted(found, key=lambda one: _start(one[0]))


@dataclass
class Plain(Side):
    """Plain PostgreSQL."""

    conninfo: str = field(repr=False, default="")

    @property
    def session(self) -> psycopg.Connection:
        """The session that is measured, as administrator."""
        return self.sessions[0]

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Return the rows of a statement."""
        return self.session.execute(statement).fetchall()

    def connect(self) -> psycopg.Connection:
        """Open another session like the first one."""
        return _reader(self.conninfo)


@contextmanager
def running_archive(data: Data, node_bytes_share: float) -> Iterator[Archive]:
    """Run the cluster; each node has a share of the machine's memory."""
    home = data.home / "archive"
    settings = Settings(home=home, nodes=NODES, tap_port=0, czar_port=0, memory_share=node_bytes_share * SERVERS)
    with (
        embedded_cluster(settings, services=lambda cluster: worker_services(cluster) + czar_services(cluster)) as cluster,
        ExitStack() as stack,
    ):
        secrets = Secrets.load(home)
        sessions = [stack.enter_context(_admin(node.postgres, secrets)) for node in cluster.nodes]
        czar = stack.enter_context(Czar.of_home(home, user="bench"))
        directories = [_data_directory(session) for session in sessions]
        yield Archive(sessions, directories, _settings_of(sessions), cluster, home, czar)


@contextmanager
def running_plain(data: Data, memory_share: float, name: str = "plain", pg_bin: Path | None = None) -> Iterator[Plain]:
    """Run the plain server with a share of the machine's memory."""
    home = data.home / name
    with embedded_postgres(Settings(home=home, nodes=1, tap_port=0, memory_share=2 * memory_share, pg_bin=pg_bin)) as cluster:
        conninfo = cluster.nodes[0].postgres.conninfo(Role.ADMIN, NODE_DATABASE, Secrets.load(home))
        with _reader(conninfo) as session:
            install(session)
            yield Plain([session], [_data_directory(session)], _settings_of([session]), conninfo)


def load_archive(archive: Archive, data: Data, files: dict[str, list[Path]]) -> None:
    """Load the files through ingest."""
    secrets = Secrets.load(archive.home)

    async def load() -> None:
        engine = make_engine(archive.cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
        try:
            await load_catalogue(
                engine,
                secrets.cluster.get_secret_value(),
                data.database,
                files,
                options=LoadOptions(data.target_rows),
            )
        finally:
            await engine.dispose()

    asyncio.run(load())


def fill_plain(plain: Plain, archive: Archive, data: Data, table: str, condition: str = "true") -> int:
    """Copy a table from the nodes' chunks, in `_healpix_29` order, and index it as a chunk is; return its rows."""
    name, database = relation("survey", table, None), data.database
    declared = database.by_name[table]
    plain.session.execute(schema_statement(database.name))
    rows = 0
    with plain.session.transaction():
        for statement in prototype_statements(database.name, declared):
            plain.session.execute(statement)
        for _, node, chunk in archive.chunks(table):
            with (
                node.cursor().copy(f"COPY (SELECT * FROM {chunk} WHERE {condition}) TO STDOUT WITH (FORMAT binary)") as source,
                plain.session.cursor() as cursor,
            ):
                with cursor.copy(f"COPY {name} FROM STDIN WITH (FORMAT binary)") as target:
                    for piece in source:
                        target.write(piece)
                rows += cursor.rowcount
        for statement in index_statements(database.name, declared, declared.name).values():
            plain.session.execute(statement)
    plain.session.execute(f"VACUUM (FREEZE, ANALYZE) {name}")
    plain.session.execute("CHECKPOINT")
    return rows


def _admin(address: PostgresAddress, secrets: Secrets) -> psycopg.Connection:
    return psycopg.connect(address.conninfo(Role.ADMIN, NODE_DATABASE, secrets), autocommit=True, prepare_threshold=None)


def _reader(conninfo: str) -> psycopg.Connection:
    session = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
    session.execute("SET jit = off")
    session.execute(f"SET max_parallel_workers_per_gather = {PARALLEL_WORKERS}")
    session.execute(f"SET max_parallel_workers = {PARALLEL_WORKERS}")
    return session


def _data_directory(session: psycopg.Connection) -> Path:
    (directory,) = session.execute("SHOW data_directory").fetchone() or ("",)
    return Path(directory)


def _settings_of(sessions: list[psycopg.Connection]) -> dict[str, str]:
    """Return what counts for speed; memory in MB, of all servers together."""
    found = {"version": str(sessions[0].info.server_version // 10_000), "cores": str(os.cpu_count())}
    for name in ("shared_buffers", "work_mem"):
        each = [
            (
                session.execute(
                    "SELECT setting::bigint * CASE unit WHEN '8kB' THEN 8 ELSE 1 END FROM pg_settings WHERE name = %s", [name]
                )
            )
            for session in sessions
        ]
        found[name] = f"{sum(int((one.fetchone() or (0,))[0]) for one in each) // 1024} MB"
    return found


def _start(chunk: int) -> float:
    """Return where a chunk begins along the NESTED curve, as a share of it; chunk 0 comes first."""
    if not chunk:
        return -1.0
    order = (chunk.bit_length() - 3) // 2
    return (chunk - 4 * 4**order) / (12 * 4**order)

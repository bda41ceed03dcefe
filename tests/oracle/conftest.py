"""A cluster of three nodes, loaded through ``ingest``, and the oracle: one plain PostgreSQL with the same rows."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.settings import Settings
from qserv.supervisor.services import worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from tests.oracle import edges, grains, stars
from tests.oracle.loading import Tables, load
from tests.oracle.plain import create_plain, fill_plain, plain_conninfo
from tests.support.sky import FELIS, TABLES, Survey

SCHEMAS = Path(__file__).parent / "schema"

CHUNK_TARGET_ROWS = {"sky": 3000, "edges": 8, "survey": 250, "grains": 1}
"""So few that maps have pixels of several orders: 1 and 2, 0 to 3, 0 to 6; and of order 4, two thousand of them."""

AT_ONCE = 4
"""Queries asked at a time: cluster and oracle wait for PostgreSQL in turns."""


@dataclass(frozen=True)
class Loaded:
    """The cluster, a session with it, and the oracle."""

    cluster: Cluster
    secrets: Secrets
    settings: Settings
    runner: asyncio.Runner
    session: Session
    plains: tuple[psycopg.Connection, ...]
    """Connections to the oracle: as many as ask at a time."""
    has_bigsky: bool

    @property
    def plain(self):
        """One connection to the oracle."""
        return self.plains[0]

    def ask(self, statement, *, session=None, **options):
        """Return the answer of the cluster and its batches."""

        return self.runner.run(self.read(statement, session=session, **options))

    async def read(self, statement, *, session=None, **options):
        """Return the answer of the cluster and its batches, within the loop of the session."""
        answer = await (session or self.session).query(statement, **options)
        return answer, [batch async for batch in answer.batches()]

    def open(self, kind=Session):
        """Return another session; close it with the runner."""
        return self.runner.run(kind.open(self.cluster, self.secrets, self.settings))


@pytest.fixture(scope="session")
def unloaded(cluster_home):
    """The cluster and the oracle, for tests that bring rows of their own."""
    settings = Settings(home=cluster_home / "oracle", nodes=3, tap_port=0, memory_share=0.2)
    with embedded_cluster(settings, services=worker_services) as cluster, asyncio.Runner() as runner:
        secrets = Secrets.load(cluster.home)
        create_plain(cluster.metadata, secrets, list(CHUNK_TARGET_ROWS))
        session = runner.run(Session.open(cluster, secrets, settings))
        with contextlib.ExitStack() as connections:
            opened = [psycopg.connect(plain_conninfo(cluster.metadata, secrets), autocommit=True) for _ in range(AT_ONCE)]
            plains = tuple(map(connections.enter_context, opened))
            yield Loaded(cluster, secrets, settings, runner, session, plains, stars.BIGSKY.exists())
        runner.run(session.close())


@pytest.fixture(scope="session")
def loaded(unloaded, tmp_path_factory):
    """The same with the rows of `all_rows`."""
    databases, rows = all_rows(with_bigsky=unloaded.has_bigsky)
    directory = tmp_path_factory.mktemp("oracle")
    cluster, secrets = unloaded.cluster, unloaded.secrets
    for database in databases:
        of_it = {table: found for (owner, table), found in rows.items() if owner == database.name}
        unloaded.runner.run(load(cluster, secrets, Tables(database, of_it, CHUNK_TARGET_ROWS[database.name]), directory))
    fill_plain(cluster.metadata, secrets, databases, {name: [table] for name, table in rows.items()})
    return unloaded


def all_rows(*, with_bigsky):
    """Return the databases, and the rows of each table by the names of both."""
    survey = Survey()
    found = {
        "sky": stars.rows(with_bigsky=with_bigsky),
        "edges": edges.rows(),
        "survey": {table: survey.rows(table) for table in TABLES},
        "grains": grains.rows(),
    }
    paths = [FELIS if name == "survey" else SCHEMAS / f"{name}.yaml" for name in CHUNK_TARGET_ROWS]
    rows = {(database, name): table for database, tables in found.items() for name, table in tables.items()}
    return [read_database(path) for path in paths], rows

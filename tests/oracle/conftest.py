"""A cluster of three nodes, loaded through ``ingest``, and the oracle: one plain PostgreSQL with the same rows."""

import asyncio
import contextlib
from dataclasses import dataclass

import psycopg
import pytest

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.settings import Settings
from qserv.supervisor.services import worker_services
from qserv.supervisor.supervisor import embedded_cluster
from tests.oracle import stars
from tests.oracle.families import CHUNK_TARGET_ROWS, families
from tests.oracle.loading import load
from tests.oracle.plain import create_plain, fill_plain, plain_conninfo

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
    """The same with the rows of `families`."""
    found = families(with_bigsky=unloaded.has_bigsky)
    directory = tmp_path_factory.mktemp("oracle")
    cluster, secrets = unloaded.cluster, unloaded.secrets
    for tables in found:
        unloaded.runner.run(load(cluster, secrets, tables, directory))
    rows = {(tables.database.name, name): [table] for tables in found for name, table in tables.rows.items()}
    fill_plain(cluster.metadata, secrets, [tables.database for tables in found], rows)
    return unloaded

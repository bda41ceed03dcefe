"""A cluster of three nodes, loaded through ``ingest``, and the oracle: one plain PostgreSQL with the same rows."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from czar.session import Session
from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor.services import worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from tests.oracle import edges, grains, stars
from tests.oracle.plain import make_plain, plain_conninfo
from tests.support.sky import FELIS, TABLES, Survey

SCHEMAS = Path(__file__).parent / "schema"

CHUNK_TARGET_ROWS = {"sky": 3000, "edges": 8, "survey": 250, "grains": 1}
"""So few that maps have pixels of several orders: 1 and 2, 0 to 3, 0 to 6; and of order 4, two thousand of them."""


@dataclass(frozen=True)
class Loaded:
    """The loaded cluster, a session with it, and the oracle."""

    cluster: Cluster
    settings: Settings
    runner: asyncio.Runner
    session: Session
    plain: psycopg.Connection
    has_bigsky: bool

    def ask(self, statement, *, session=None, **options):
        """Return the answer of the cluster and its batches."""

        async def read():
            answer = await (session or self.session).query(statement, **options)
            return answer, [batch async for batch in answer.batches()]

        return self.runner.run(read())

    def open(self, kind=Session):
        """Return another session; close it with the runner."""
        return self.runner.run(kind.open(self.cluster, Secrets.load(self.cluster.home), self.settings))


@pytest.fixture(scope="session")
def loaded(cluster_home, tmp_path_factory):
    settings = Settings(home=cluster_home / "oracle", nodes=3, tap_port=0, memory_share=0.2)
    has_bigsky = stars.BIGSKY.exists()
    databases, rows = all_rows(with_bigsky=has_bigsky)
    directory = tmp_path_factory.mktemp("oracle")
    with embedded_cluster(settings, services=worker_services) as cluster, asyncio.Runner() as runner:
        secrets = Secrets.load(cluster.home)
        for database in databases:
            runner.run(_load(cluster, secrets, database, rows, directory))
        make_plain(cluster.metadata, secrets, databases, rows)
        session = runner.run(Session.open(cluster, secrets, settings))
        with psycopg.connect(plain_conninfo(cluster.metadata, secrets), autocommit=True) as plain:
            yield Loaded(cluster, settings, runner, session, plain, has_bigsky)
        runner.run(session.close())


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


async def _load(cluster, secrets, database, rows, directory):
    files = {}
    for (owner, name), table in rows.items():
        if owner == database.name:
            files[name] = [directory / f"{owner}-{name}.parquet"]
            pq.write_table(table, files[name][0])
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    options = LoadOptions(directory, CHUNK_TARGET_ROWS[database.name])
    try:
        return await load_catalogue(engine, secrets.cluster.get_secret_value(), database, files, options=options)
    finally:
        await engine.dispose()

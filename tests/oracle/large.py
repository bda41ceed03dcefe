"""A cluster with the synthetic survey at a size that no czar could hold, and plain PostgreSQL with the same rows.

Neither the files nor the rows are in memory at once: what the comparison needs is bounded as well.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import psycopg

from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor.services import worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from tests.oracle.limited import SMALL
from tests.oracle.plain import make_plain, plain_conninfo
from tests.support.sky import FELIS, TABLES, Survey

CHUNK_TARGET_ROWS = 20_000


@dataclass(frozen=True)
class Large:
    """The loaded cluster, and the oracle."""

    cluster: Cluster
    secrets: Secrets
    settings: Settings
    size_bytes: int
    """Of the tables as plain PostgreSQL stores them, without indexes."""

    def connect(self):
        """Return a connection to the oracle."""
        return psycopg.connect(plain_conninfo(self.cluster.metadata, self.secrets), autocommit=True)


@contextlib.contextmanager
def large_cluster(home, objects, timeout_s, directory):
    """Run a cluster with a survey of so many objects; ``directory`` gets its files."""
    survey = Survey(objects)
    settings = Settings(home=home, nodes=3, tap_port=0, memory_share=0.2, query_timeout_s=timeout_s, **SMALL)
    files = {table: [directory / f"{table}.parquet"] for table in TABLES}
    for table, (path,) in files.items():
        survey.write(table, path)
    database = read_database(FELIS)
    with embedded_cluster(settings, services=worker_services) as cluster:
        secrets = Secrets.load(cluster.home)
        asyncio.run(_load(cluster, secrets, database, files, directory))
        for (path,) in files.values():
            path.unlink()
        make_plain(cluster.metadata, secrets, [database], {(database.name, table): survey.blocks(table) for table in TABLES})
        with psycopg.connect(plain_conninfo(cluster.metadata, secrets), autocommit=True) as plain:
            (size_bytes,) = plain.execute(
                "SELECT SUM(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'survey'::regnamespace"
            ).fetchone()
        yield Large(cluster, secrets, settings, int(size_bytes))


async def _load(cluster, secrets, database, files, directory):
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    options = LoadOptions(directory, CHUNK_TARGET_ROWS)
    try:
        await load_catalogue(engine, secrets.cluster.get_secret_value(), database, files, options=options)
    finally:
        await engine.dispose()

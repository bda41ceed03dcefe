"""A cluster with the synthetic survey at a size that no czar could hold, and plain PostgreSQL with the same rows.

Neither the files nor the rows are in memory at once: what the comparison needs is bounded as well.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import psycopg

from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor.services import czar_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from tests.oracle.limited import SMALL
from tests.oracle.plain import make_plain, plain_conninfo
from tests.support.sky import FELIS, TABLES, Survey

CHUNK_TARGET_ROWS = 20_000

MOST_ROWS = 200_000_000
"""Of an answer: the sources of one visit, of which there are more in a larger survey, make 141,000,000 pairs."""

ALL_ROWS = 10_000_000_000
"""Of all answers."""


@dataclass(frozen=True)
class Large:
    """The loaded cluster, and the oracle."""

    cluster: Cluster
    secrets: Secrets
    settings: Settings
    size_bytes: int
    """Of the chunk tables, one copy of each, without overlap and indexes."""

    def connect(self):
        """Return a connection to the oracle."""
        return psycopg.connect(plain_conninfo(self.cluster.metadata, self.secrets), autocommit=True)


@contextlib.contextmanager
def large_cluster(home, objects, timeout_s, directory):
    """Run a cluster with a survey of so many objects whose queries may take so long; ``directory`` gets its files."""
    survey = Survey(objects, widened=True)
    limits = {"query_timeout_s": timeout_s, "max_rows": MOST_ROWS, "max_rows_per_user": ALL_ROWS}
    settings = Settings(home=home, nodes=3, tap_port=0, memory_share=0.2, **limits, **SMALL)
    files = {table: [directory / f"{table}.parquet"] for table in TABLES}
    for table, (path,) in files.items():
        survey.write(table, path)
    database = read_database(FELIS)
    with embedded_cluster(settings, services=lambda cluster: worker_services(cluster) + czar_services(cluster)) as cluster:
        secrets = Secrets.load(cluster.home)
        asyncio.run(_load(cluster, secrets, database, files, directory))
        for (path,) in files.values():
            path.unlink()
        make_plain(cluster.metadata, secrets, [database], {(database.name, table): survey.blocks(table) for table in TABLES})
        yield Large(cluster, secrets, settings, sum(_size_bytes(node, secrets) for node in cluster.nodes))


def _size_bytes(node, secrets):
    with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets)) as connection:
        (size_bytes,) = connection.execute(
            "SELECT COALESCE(SUM(pg_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND relname !~ '_overlap$'"
            " AND relname <> 'ccd_visit' AND relnamespace = 'survey'::regnamespace"
        ).fetchone()
    return int(size_bytes)


async def _load(cluster, secrets, database, files, directory):
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    options = LoadOptions(directory, CHUNK_TARGET_ROWS)
    try:
        await load_catalogue(engine, secrets.cluster.get_secret_value(), database, files, options=options)
    finally:
        await engine.dispose()

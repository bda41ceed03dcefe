"""A cluster with the synthetic survey at a size that no czar could hold and the other databases of the corpus, and plain PostgreSQL
with the same rows.

Neither the files nor the rows of the survey are in memory at once: what the comparison needs is bounded as well.
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
from tests.oracle import stars
from tests.oracle.families import families
from tests.oracle.limited import SMALL
from tests.oracle.loading import load
from tests.oracle.plain import make_plain, plain_conninfo
from tests.support.sky import TABLES, Survey

CHUNK_TARGET_ROWS = 20_000
"""Of the survey."""

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
    """Of the survey's chunk tables, one copy of each, without overlap and indexes."""
    has_bigsky: bool

    def connect(self):
        """Return a connection to the oracle."""
        return psycopg.connect(plain_conninfo(self.cluster.metadata, self.secrets), autocommit=True)


@contextlib.contextmanager
def large_cluster(home, objects, timeout_s, directory):
    """Run a cluster with a survey of so many objects whose queries may take so long; ``directory`` gets its files."""
    survey = Survey(objects, widened=True)
    limits = {"query_timeout_s": timeout_s, "max_rows": MOST_ROWS, "max_rows_per_user": ALL_ROWS}
    settings = Settings(home=home, nodes=3, tap_port=0, memory_share=0.2, **limits, **SMALL)
    has_bigsky = stars.BIGSKY.exists()
    found = families(with_bigsky=has_bigsky)
    rows = {(tables.database.name, name): [table] for tables in found for name, table in tables.rows.items()}
    rows |= {("survey", name): survey.blocks(name) for name in TABLES}
    with embedded_cluster(settings, services=lambda cluster: worker_services(cluster) + czar_services(cluster)) as cluster:
        secrets = Secrets.load(cluster.home)
        for tables in found:
            if tables.database.name == "survey":
                asyncio.run(_load(cluster, secrets, tables.database, survey, directory))
            else:
                asyncio.run(load(cluster, secrets, tables, directory))
        make_plain(cluster.metadata, secrets, [tables.database for tables in found], rows)
        yield Large(cluster, secrets, settings, sum(_size_bytes(node, secrets) for node in cluster.nodes), has_bigsky)


def _size_bytes(node, secrets):
    with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets)) as connection:
        (size_bytes,) = connection.execute(
            "SELECT COALESCE(SUM(pg_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND relname !~ '_overlap$'"
            " AND relname <> 'ccd_visit' AND relnamespace = 'survey'::regnamespace"
        ).fetchone()
    return int(size_bytes)


async def _load(cluster, secrets, database, survey, directory):
    files = {name: [directory / f"{name}.parquet"] for name in TABLES}
    for name, (path,) in files.items():
        survey.write(name, path)
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    options = LoadOptions(CHUNK_TARGET_ROWS)
    try:
        await load_catalogue(engine, secrets.cluster.get_secret_value(), database, files, options=options)
    finally:
        await engine.dispose()
    for (path,) in files.values():
        path.unlink()

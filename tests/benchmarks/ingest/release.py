"""The archive: a cluster of two nodes, loaded by ``qserv ingest`` as a user does."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from processes import peak_memory, run_measured, service_pid

from ingest.leftovers import drop_tables
from ingest.nodes import connected_nodes
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.nodes import list_nodes
from qserv.settings import Settings
from qserv.supervisor.services import ingest_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from schema.felis import read_database
from schema.model import Table
from tests.support.sky import FELIS

DATABASE, TABLE = "survey", "object"

NODES = 2


@dataclass(frozen=True)
class Load:
    """One load: its seconds without the start of Python, and the peaks of memory of the ingest service and of the larger worker."""

    seconds: float
    peak_bytes: int
    worker_bytes: int


class Archive:
    """A running cluster."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self._cluster, self._home = cluster, home
        self._secrets = Secrets.load(home)

    @property
    def columns(self) -> int:
        """Columns of the table."""
        return len(table().columns)

    def load(self, file: Path, replicas: int = 1) -> Load:
        """Load a file."""
        arguments = ["ingest", "--json", "--replicas", str(replicas), str(FELIS), f"{TABLE}={file}"]
        with ExitStack() as stack:
            workers = [service_pid(self._home, f"{node.node}-worker") for node in self._cluster.nodes]
            peaks = [stack.enter_context(peak_memory(pid)) for pid in workers]
            service = stack.enter_context(peak_memory(service_pid(self._home, "ingest")))
            ended = run_measured(["qserv.cli", *arguments], {"QSERV_HOME": str(self._home)})
        return Load(float(json.loads(ended.output)["seconds"]), service.peak_bytes, max(peak.peak_bytes for peak in peaks))

    def drop(self) -> None:
        """Drop the table, so that a load's time is its own."""
        asyncio.run(self._drop())

    async def _drop(self) -> None:
        engine = make_engine(self._cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, self._secrets))
        try:
            async with connect(engine) as connection:
                nodes = await list_nodes(connection)
            async with connected_nodes(nodes, self._secrets.cluster.get_secret_value()) as connected:
                await drop_tables(engine, connected, DATABASE, [TABLE])
        finally:
            await engine.dispose()

    def chunks(self) -> Iterator[tuple[psycopg.Connection, str]]:
        """Yield a session and the unquoted name of the table of each chunk."""
        for node in self._cluster.nodes:
            with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, self._secrets), autocommit=True) as session:
                sql = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ %s ORDER BY 1"
                for (name,) in session.execute(sql, [DATABASE, rf"^{TABLE}_\d+$"]).fetchall():
                    yield session, name


def table() -> Table:
    """Return the table that is loaded."""
    return read_database(FELIS).by_name[TABLE]


@contextmanager
def running_archive(home: Path) -> Iterator[Archive]:
    """Run the cluster while the block lasts, with the settings that a user gets."""
    with embedded_cluster(
        Settings(home=home, nodes=NODES, tap_port=0), services=lambda found: worker_services(found) + ingest_services(found)
    ) as cluster:
        yield Archive(cluster, home)

"""The archive that is measured: a real embedded cluster of three nodes, asked over HTTP as a client asks it."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from processes import Peak, peak_memory, run_measured, service_pid

from ingest.leftovers import drop_tables
from ingest.nodes import connected_nodes
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.nodes import list_nodes
from qserv.settings import Settings
from qserv.supervisor.supervisor import embedded_cluster
from schema.model import Database

READ_BYTES = 2**20
"""Read of a download at a time: the client must not be what is measured."""


@dataclass(frozen=True)
class Download:
    """An answer that was read and thrown away."""

    size_bytes: int
    first_byte_s: float
    total_s: float


class Archive:
    """A running cluster and one HTTP connection to its TAP service, kept alive."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster, self.settings = cluster, settings
        self._http = http.client.HTTPConnection(cluster.tap_host, cluster.tap_port)

    def ask(self, adql: str, **parameters: str) -> bytes:
        """Return the answer of a synchronous query, as it came."""
        answer = self._send(adql, parameters)
        body = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(body.decode(errors="replace"))
        return body

    def download(self, adql: str, response_format: str) -> Download:
        """Read an answer to its end without keeping it."""
        started = time.perf_counter()
        answer = self._send(adql, {"RESPONSEFORMAT": response_format})
        size = len(answer.read(1))
        first = time.perf_counter() - started
        buffer = bytearray(READ_BYTES)
        while count := answer.readinto(buffer):
            size += count
        return Download(size, first, time.perf_counter() - started)

    def ingest(self, schema: Path, table: str, file: Path) -> tuple[Peak, float]:
        """Load a file with ``qserv ingest``; return what the ingest service used, and the seconds of the load itself."""
        environment = {"QSERV_HOME": str(self.settings.home)}
        with peak_memory(service_pid(self.settings.home, "ingest")) as service:
            ended = run_measured(["qserv.cli", "ingest", "--json", str(schema), f"{table}={file}"], environment)
        return service, float(json.loads(ended.output)["seconds"])

    def drop(self, database: Database, table: str) -> None:
        """Drop a table, if there, so that a load's time is its own."""
        asyncio.run(self._drop(database, table))

    async def _drop(self, database: Database, table: str) -> None:
        secrets = Secrets.load(self.settings.home)
        engine = make_engine(self.cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
        try:
            async with connect(engine) as connection:
                nodes = await list_nodes(connection)
            async with connected_nodes(nodes, secrets.cluster.get_secret_value()) as connected:
                await drop_tables(engine, connected, database.name, [table])
        finally:
            await engine.dispose()

    @property
    def tap_pid(self) -> int:
        """Process id of the TAP service."""
        return service_pid(self.settings.home, "tap")

    def _send(self, adql: str, parameters: dict[str, str]) -> http.client.HTTPResponse:
        target = "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": adql, **parameters})
        try:
            self._http.request("GET", target)
            return self._http.getresponse()
        except http.client.RemoteDisconnected:
            # The service ends connections that were idle for seconds, as between two parts of the benchmark.
            self._http.close()
            self._http.request("GET", target)
            return self._http.getresponse()


@contextmanager
def running_archive(home: Path) -> Iterator[Archive]:
    """Run a cluster with the settings that a user gets, while the block lasts."""
    settings = Settings(home=home, nodes=3, tap_port=0)
    with embedded_cluster(settings) as cluster:
        yield Archive(cluster, settings)

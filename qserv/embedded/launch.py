"""The PostgreSQL servers of an embedded cluster, started and stopped together; usable without workers and services."""

import fcntl
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from qserv.cluster import CLUSTER_FILE, Cluster, NodeAddress, PostgresAddress, Secrets
from qserv.embedded.account import Installation, choose_account
from qserv.embedded.binaries import find_binaries
from qserv.embedded.configuration import ServerShare
from qserv.embedded.machine import this_machine
from qserv.embedded.orphans import end_orphans
from qserv.embedded.ports import find_free_port, is_free, require_free
from qserv.embedded.processes import RUN_DIRECTORY
from qserv.embedded.provision import provision_metadata, provision_node
from qserv.embedded.server import PostgresServer
from qserv.embedded.storage import disk_full_as_error, prepare_data_directories
from qserv.errors import ClusterError
from qserv.ids import NodeId
from qserv.settings import Settings

METADATA_NAME = "metadata"
"""Data directory of the metadata server; nodes have theirs by their names."""

PORTS_FILE = "ports.json"
"""Ports of the last run, in the home: they are used again when still free, so that bookmarks and scripts keep working."""

HOST = "127.0.0.1"
"""Where embedded servers listen: this machine only."""


class EmbeddedPostgres:
    """The metadata server and the node servers of one home. Take the home with `locked_home` first.

    Setting ``cancelled`` ends a start that is under way, with an error.
    """

    def __init__(self, settings: Settings, cancelled: threading.Event | None = None) -> None:
        self._cancelled = cancelled or threading.Event()
        self._home = settings.home
        self._settings = settings
        self._node_names = _node_names(settings)
        binaries = find_binaries(settings.pg_bin)
        installation = Installation(binaries, choose_account(binaries, self._home))
        self.secrets = Secrets.load_or_create(self._home)
        names = [METADATA_NAME, *self._node_names]
        prepare_data_directories(self._home, names, installation, self.secrets)
        self._ports = _choose_ports(settings, self._node_names)
        share = ServerShare.of(this_machine(), settings.memory_share, len(names))
        self.servers = {
            name: PostgresServer(
                home=self._home,
                name=name,
                port=self._ports[f"{name}-postgres"],
                installation=installation,
                share=share,
            )
            for name in names
        }

    def start(self) -> None:
        """Start all servers at once, wait until they answer, and see to their roles and databases."""
        for server in self.servers.values():
            server.start()
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(self._bring_up, self.servers.values()))
        self.cluster().save()
        self._save_ports()

    def cluster(self) -> Cluster:
        """Return the topology, with the ports as they are now."""
        return Cluster(
            mode="embedded",
            home=self._home,
            metadata=PostgresAddress(HOST, self.servers[METADATA_NAME].port),
            nodes=tuple(
                NodeAddress(NodeId(name), HOST, self.servers[name].port, self._ports[f"{name}-worker"]) for name in self._node_names
            ),
            tap_host=self._settings.tap_host,
            tap_port=self._ports["tap"],
            czar_host=self._settings.czar_host,
            czar_port=self._ports["czar"],
            ingest_host=self._settings.ingest_host,
            ingest_port=self._ports["ingest"],
            ingest_flight_port=self._ports["ingest-flight"],
        )

    def restart(self, server: PostgresServer) -> None:
        """Start a server again that has ended by itself; on its old port if that is free."""
        server.start()
        server.wait_ready(self._cancelled)
        self.cluster().save()

    def stop(self) -> None:
        """Stop the nodes, then the metadata server, and take the topology away: no cluster is running any more."""
        nodes = [server for name, server in self.servers.items() if name != METADATA_NAME]
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(PostgresServer.stop, nodes))
        self.servers[METADATA_NAME].stop()
        (self._home / CLUSTER_FILE).unlink(missing_ok=True)

    def _bring_up(self, server: PostgresServer) -> None:
        server.wait_ready(self._cancelled)
        address, limit_bytes = PostgresAddress(HOST, server.port), self._settings.max_temporary_bytes
        if server.name == METADATA_NAME:
            provision_metadata(address, self.secrets, limit_bytes)
        else:
            # A lone query scans as many chunks at a time as the node does, each in a session that PostgreSQL limits by itself.
            provision_node(address, self.secrets, limit_bytes // this_machine().scans(self._settings.worker_threads))

    def _save_ports(self) -> None:
        ports = self._ports | {server.record_name: server.port for server in self.servers.values()}
        (self._home / PORTS_FILE).write_text(json.dumps(ports))


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Make the home if need be, keep other launchers out of it, and end what an earlier launcher left running.

    Raises
    ------
    ClusterError
        Another launcher has it, or it cannot be made.
    """
    with disk_full_as_error(home.parent):
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / RUN_DIRECTORY).mkdir(exist_ok=True)
            lock = (home / RUN_DIRECTORY / "lock").open("w")
        except PermissionError as error:
            msg = f"cannot write to {home}: {error.strerror}; set QSERV_HOME to a directory of yours"
            raise ClusterError(msg) from error
    with lock:
        _take(lock, home)
        end_orphans(home)
        (home / CLUSTER_FILE).unlink(missing_ok=True)
        yield


@contextmanager
def embedded_postgres(settings: Settings) -> Iterator[Cluster]:
    """Run the PostgreSQL servers of an embedded cluster, without workers and services, while the block lasts."""
    with locked_home(settings.home):
        postgres = EmbeddedPostgres(settings)
        try:
            postgres.start()
            yield postgres.cluster()
        finally:
            postgres.stop()


def _take(lock: IO[str], home: Path) -> None:
    """Hold the lock until the file is closed or this process ends, however it ends; children do not inherit it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        msg = f"a cluster is already running in {home}; stop it with `qserv down`, or set QSERV_HOME to another home"
        raise ClusterError(msg) from None


def _node_names(settings: Settings) -> list[str]:
    """Return the nodes' names.

    Raises
    ------
    ClusterError
        The home was made with another number of nodes: chunks would be missing.
    """
    names = [f"node-{number}" for number in range(1, settings.nodes + 1)]
    present = [path.name for path in settings.home.glob("node-*") if path.is_dir() and not path.name.endswith(".new")]
    if present and sorted(present) != sorted(names):
        msg = (
            f"{settings.home} holds {len(present)} nodes, not {settings.nodes}; set QSERV_NODES={len(present)},"
            " or QSERV_HOME to a new home"
        )
        raise ClusterError(msg)
    return names


def _choose_ports(settings: Settings, node_names: list[str]) -> dict[str, int]:
    """Return a port for every process by name: the fixed one, the one of the last run if still free, or a new one."""
    try:
        last: dict[str, int] = json.loads((settings.home / PORTS_FILE).read_text())
    except (FileNotFoundError, ValueError):
        last = {}
    ports: dict[str, int] = {}
    fixed = (
        ("tap", settings.tap_port, settings.tap_host),
        ("czar", settings.czar_port, settings.czar_host),
        ("ingest", settings.ingest_port, settings.ingest_host),
        ("ingest-flight", settings.ingest_flight_port, settings.ingest_host),
    )
    for name, port, host in fixed:
        if port:
            require_free(port, host, f"QSERV_{name.upper().replace('-', '_')}_PORT")
            ports[name] = port
    for name in _port_names(node_names):
        if name not in ports:
            kept = last.get(name)
            reusable = kept is not None and kept not in ports.values() and is_free(kept)
            ports[name] = kept if kept is not None and reusable else find_free_port(set(ports.values()))
    return ports


def _port_names(node_names: Iterable[str]) -> Iterator[str]:
    yield "tap"
    yield "czar"
    yield "ingest"
    yield "ingest-flight"
    yield f"{METADATA_NAME}-postgres"
    for name in node_names:
        yield f"{name}-postgres"
        yield f"{name}-worker"

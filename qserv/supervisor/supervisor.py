"""The processes of an embedded cluster: started in order, watched, started again when they die, stopped in reverse order."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from qserv.cluster import Cluster, Secrets
from qserv.embedded.launch import EmbeddedPostgres, locked_home
from qserv.embedded.orphans import SUPERVISOR
from qserv.embedded.processes import Process, RunRecord
from qserv.embedded.server import PostgresServer
from qserv.errors import ClusterError, QservError
from qserv.metadata.startup import prepare_metadata
from qserv.settings import Settings
from qserv.supervisor.backoff import Backoff
from qserv.supervisor.heartbeat import Heartbeat
from qserv.supervisor.process import ServiceProcess
from qserv.supervisor.services import ChooseServices, all_services

WATCH_S = 0.1
"""How often the processes are looked at: a system call for each, and a dead worker is back before a person notices."""

logger = logging.getLogger("qserv.supervisor")


@dataclass
class Watched:
    """A process under watch: how to see that it ended, how to start it again, and how often that was needed."""

    name: str
    exited: Callable[[], bool]
    restart: Callable[[], None]
    backoff: Backoff = field(default_factory=Backoff)
    due_s: float | None = None


class Supervisor:
    """Runs the PostgreSQL servers and services of one home. Take the home with `locked_home` first.

    Setting ``cancelled`` ends a start that is under way, with an error.
    """

    def __init__(self, settings: Settings, services: ChooseServices, cancelled: threading.Event) -> None:
        self._settings = settings
        self._cancelled = cancelled
        self._postgres = EmbeddedPostgres(settings, cancelled)
        self._services = tuple(ServiceProcess(service, settings) for service in services(self._postgres.cluster()))
        self._stopping = threading.Event()
        workers = [process for process in self._services if process.service.kind == "worker"]
        self._heartbeat = Heartbeat(workers, settings.worker_silence_s)
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> Cluster:
        """Start everything, wait until it answers, and begin to watch.

        Raises
        ------
        ClusterError
            A process did not get ready; call `stop`.
        """
        self._postgres.start()
        if self._services:
            prepare_metadata(self._postgres.cluster(), Secrets.load(self._settings.home))
        for _, group in itertools.groupby(self._services, key=_together):
            together = tuple(group)
            for process in together:
                process.start()
            for process in together:
                process.wait_ready(self._cancelled)
        self._watcher.start()
        self._heartbeat.start()
        return self._postgres.cluster()

    def stop(self) -> None:
        """Stop the services in reverse order of start, then the PostgreSQL servers."""
        self._stopping.set()
        self._cancelled.set()
        self._heartbeat.stop()
        if self._watcher.is_alive():
            self._watcher.join()
        for _, group in itertools.groupby(reversed(self._services), key=_together):
            together = tuple(group)
            with ThreadPoolExecutor(len(together)) as pool:
                list(pool.map(ServiceProcess.stop, together))
        self._postgres.stop()

    def _watch(self) -> None:
        watched = [
            Watched(server.name, _server_exited(server), self._restarter(server)) for server in self._postgres.servers.values()
        ]
        watched += [Watched(process.service.name, _service_exited(process), process.start) for process in self._services]
        while not self._stopping.wait(WATCH_S):
            for one in watched:
                look_after(one, time.monotonic())

    def _restarter(self, server: PostgresServer) -> Callable[[], None]:
        def restart() -> None:
            port = server.port
            self._postgres.restart(server)
            if server.port != port:
                # Services read the topology when they start.
                for process in self._services:
                    process.stop()
                    process.start()

        return restart


def look_after(watched: Watched, now_s: float) -> None:
    """Start a process again if it has ended and its waiting time is over. An error counts as one more crash."""
    if not watched.exited():
        return
    if watched.due_s is None:
        watched.backoff = watched.backoff.crashed(now_s)
        watched.due_s = now_s + watched.backoff.delay_s
        logger.warning("%s ended by itself; started again in %.1f s", watched.name, watched.backoff.delay_s)
    if now_s < watched.due_s:
        return
    watched.due_s = None
    watched.backoff = watched.backoff.started(now_s)
    try:
        watched.restart()
    except (QservError, OSError) as error:
        logger.error("%s could not be started: %s", watched.name, error)  # noqa: TRY400 (the reason is a sentence; a trace adds nothing)


def _together(process: ServiceProcess) -> bool:
    """Return what services have in common that start together: all workers, then all who ask them."""
    return process.service.kind == "worker"


def _server_exited(server: PostgresServer) -> Callable[[], bool]:
    return lambda: server.exited


def _service_exited(process: ServiceProcess) -> Callable[[], bool]:
    return lambda: process.exited


@contextmanager
def embedded_cluster(
    settings: Settings,
    *,
    services: ChooseServices = all_services,
    cancelled: threading.Event | None = None,
) -> Iterator[Cluster]:
    """Run an embedded cluster while the block lasts.

    What an earlier launcher left running in this home is ended first; at the end nothing is left running.

    Parameters
    ----------
    settings
        ``home``, ``nodes`` and the rest; services get the same ones.
    services
        Which services run beside the PostgreSQL servers.
    cancelled
        Setting it ends a start that is under way, with an error.

    Raises
    ------
    PortInUseError
        The fixed port of the TAP service is taken.
    StorageFullError
        The disk is full.
    ClusterError
        A cluster already runs in this home, or a process did not start.
    """
    with locked_home(settings.home):
        this = Process.of(os.getpid())
        if this is None:
            msg = "this process is not in /proc: the embedded cluster needs Linux's /proc"
            raise ClusterError(msg)
        record = RunRecord(SUPERVISOR, SUPERVISOR, this, None, time.time())
        record.write(settings.home)
        try:
            supervisor = Supervisor(settings, services, cancelled or threading.Event())
            try:
                yield supervisor.start()
            finally:
                supervisor.stop()
        finally:
            record.remove(settings.home)

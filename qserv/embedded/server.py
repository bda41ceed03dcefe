"""One PostgreSQL server: its data directory, its port, its process."""

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qserv.embedded.account import Installation
from qserv.embedded.configuration import ServerShare, pg_hba_conf, postgresql_conf
from qserv.embedded.logfile import LogFile
from qserv.embedded.pidfile import PidFile
from qserv.embedded.ports import find_free_port, is_free
from qserv.embedded.processes import POLL_S, Process, RunRecord
from qserv.embedded.storage import FULL_DISK, disk_full_as_error, storage_full
from qserv.errors import ClusterError

if TYPE_CHECKING:
    import subprocess

KIND = "postgres"
"""What the run record of a server says it is."""

STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
"""Fast shutdown (sessions end, a checkpoint is written); then immediate (recovery at next start); then by force. With seconds."""

START_TIMEOUT_S = 120.0
"""Starting takes 0.1 s; recovery after a crash reads at most the WAL since the last checkpoint, some 2 GB."""

PORT_TAKEN = "Address already in use"
"""How PostgreSQL says, in the C locale, that another program took its port after we found it free."""

SESSIONS_LEFT = "pre-existing shared memory block"
"""How PostgreSQL says, in the C locale, that sessions of a killed server have not ended yet; they do within a second."""


class PostgresServer:
    """A PostgreSQL server of an embedded cluster, named like its data directory below the home."""

    def __init__(self, *, home: Path, name: str, port: int, installation: Installation, share: ServerShare) -> None:
        self.home = home
        self.name = name
        self.port = port
        self._installation = installation
        self._share = share
        self._child: subprocess.Popen[bytes] | None = None
        self._record: RunRecord | None = None
        self._log = LogFile(home, self.record_name)
        self._log_start_bytes = 0

    @property
    def data_directory(self) -> Path:
        """The server's PGDATA."""
        return self.home / self.name

    @property
    def record_name(self) -> str:
        """Name of the server's run record and log."""
        return f"{self.name}-postgres"

    @property
    def exited(self) -> bool:
        """Whether the process has ended by itself or was never started."""
        return self._child is None or self._child.poll() is not None

    def start(self) -> None:
        """Start the process; it is not ready yet. A server that an earlier launcher left on the data is ended first.

        Raises
        ------
        StorageFullError
            The disk is full.
        ClusterError
            Another server holds the data directory and does not end.
        """
        if not is_free(self.port):
            self.port = find_free_port(set())
        end_server_of(self.data_directory)
        with disk_full_as_error(self.home):
            self._spawn()

    def wait_ready(self, cancelled: threading.Event, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the server answers queries. Where its port was taken meanwhile, it is started on another one.

        Raises
        ------
        StorageFullError
            The server stopped because the disk is full.
        ClusterError
            The server stopped, or did not get ready in time (with the last words of its log), or ``cancelled`` was set.
        """
        deadline = time.monotonic() + timeout_s
        while self._child is None or not PidFile(self.data_directory).is_ready(self._child.pid):
            if self.exited:
                self._recover_start()
            if cancelled.wait(POLL_S):
                msg = "the start was interrupted"
                raise ClusterError(msg)
            if time.monotonic() > deadline:
                msg = f"PostgreSQL server {self.name} was not ready within {timeout_s:.0f} s; see {self._log.path}"
                raise ClusterError(msg)

    def stop(self) -> None:
        """Shut the server down cleanly, by force where that takes too long, and collect the process."""
        if self._child is None:
            return
        if self._record is not None:
            self._record.process.end(STOP_STEPS)
            self._record.remove(self.home)
        self._child.wait()
        self._child = self._record = None

    def _spawn(self) -> None:
        binaries = self._installation.binaries
        (self.data_directory / "postgresql.conf").write_text(postgresql_conf(self._share, self.port, binaries.version))
        (self.data_directory / "pg_hba.conf").write_text(pg_hba_conf())
        with self._log.open() as log:
            self._log_start_bytes = self._log.size_bytes
            arguments = [str(binaries.postgres), "-D", str(self.data_directory)]
            self._child = self._installation.account.popen(arguments, log, self.home)
        process = Process.of(self._child.pid)
        if process is not None:
            self._record = RunRecord(self.record_name, KIND, process, self.port, time.time())
            self._record.write(self.home)

    def _recover_start(self) -> None:
        """Start again where the reason why the server stopped goes away by itself; else tell it."""
        words = self._log.tail(self._log_start_bytes)
        if FULL_DISK in words:
            raise storage_full(self.home)
        if PORT_TAKEN in words:
            self.port = find_free_port(set())
        elif SESSIONS_LEFT in words:
            time.sleep(POLL_S)
        else:
            msg = f"PostgreSQL server {self.name} stopped while starting; {self._log.path} ends:\n{words}"
            raise ClusterError(msg)
        self._spawn()


def end_server_of(data_directory: Path) -> None:
    """End a server that still runs on a data directory, and see that a pid file of one that is gone does not stand in the way.

    Raises
    ------
    ClusterError
        A server runs there and does not end.
    """
    pid_file = PidFile(data_directory)
    process = pid_file.server()
    if process is not None and not process.end(STOP_STEPS):
        msg = f"PostgreSQL process {process.pid} on {data_directory} does not end; end it by hand"
        raise ClusterError(msg)
    pid_file.disown()

"""One PostgreSQL server: its data directory, its port, its process."""

import contextlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qserv.embedded.account import Installation
from qserv.embedded.configuration import ServerShare, pg_hba_conf, postgresql_conf
from qserv.embedded.logfile import log_path, log_tail, open_log
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

PORT_ATTEMPTS = 5
"""Ports tried when another program takes each between our finding it free and PostgreSQL listening: one retry is rare already."""

PORT_TAKEN = "Address already in use"
"""How PostgreSQL says that its port is taken, in the C locale."""


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

    @property
    def data_directory(self) -> Path:
        """The server's PGDATA."""
        return self.home / self.name

    @property
    def record_name(self) -> str:
        """Name of the server's run record and log."""
        return f"{self.name}-postgres"

    def start(self) -> None:
        """Start the process; it is not ready yet. A pid file of a server that is gone is taken away first."""
        if not is_free(self.port):
            self.port = find_free_port(set())
        end_server_of(self.data_directory)
        with disk_full_as_error(self.home):
            self._spawn()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the server answers queries. Where its port was taken meanwhile, it is started on another one.

        Raises
        ------
        StorageFullError
            The server stopped because the disk is full.
        ClusterError
            The server stopped, or did not get ready in time; with the last words of its log.
        """
        deadline = time.monotonic() + timeout_s
        attempts = 1
        while not self._ready():
            if self._child is None or self._child.poll() is not None:
                words = log_tail(self.home, self.record_name)
                if PORT_TAKEN in words and attempts < PORT_ATTEMPTS:
                    attempts += 1
                    self.port = find_free_port(set())
                    self._spawn()
                    continue
                if FULL_DISK in words:
                    raise storage_full(self.home)
                msg = (
                    f"PostgreSQL server {self.name} stopped while starting; {log_path(self.home, self.record_name)} ends:\n{words}"
                )
                raise ClusterError(msg)
            if time.monotonic() > deadline:
                log = log_path(self.home, self.record_name)
                msg = f"PostgreSQL server {self.name} was not ready within {timeout_s:.0f} s; see {log}"
                raise ClusterError(msg)
            time.sleep(POLL_S)

    def exited(self) -> bool:
        """Return whether the process has ended by itself or was never started."""
        return self._child is None or self._child.poll() is not None

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
        (self.data_directory / "postgresql.conf").write_text(
            postgresql_conf(self._share, self.port, self._installation.binaries.version)
        )
        (self.data_directory / "pg_hba.conf").write_text(pg_hba_conf())
        with open_log(self.home, self.record_name) as log:
            self._child = self._installation.account.popen(
                [str(self._installation.binaries.postgres), "-D", str(self.data_directory)], log, self.home
            )
        process = Process.of(self._child.pid)
        if process is not None:
            self._record = RunRecord(self.record_name, KIND, process, self.port, time.time())
            self._record.write(self.home)

    def _ready(self) -> bool:
        """Return whether the server wrote into its pid file that it takes connections (as ``pg_ctl --wait`` finds out)."""
        lines = _pid_file_lines(self.data_directory)
        return self._child is not None and len(lines) > 7 and lines[0] == str(self._child.pid) and lines[7] == "ready"  # noqa: PLR2004 (line 8 is the state: PostgreSQL's miscadmin.h)


def end_server_of(data_directory: Path) -> None:
    """End a server that still runs on a data directory, and remove a pid file whose process is gone or is another program.

    PostgreSQL itself refuses to start when the pid in a stale file belongs to any living process of the same user.

    Raises
    ------
    ClusterError
        A server runs there and does not end.
    """
    lines = _pid_file_lines(data_directory)
    if lines and lines[0].isdigit():
        process = Process.of(int(lines[0]))
        if process is not None and _serves(process, data_directory) and not process.end(STOP_STEPS):
            msg = f"PostgreSQL process {process.pid} on {data_directory} does not end; end it by hand"
            raise ClusterError(msg)
    with contextlib.suppress(FileNotFoundError):
        (data_directory / "postmaster.pid").unlink()


def _serves(process: Process, data_directory: Path) -> bool:
    """Return whether a process is a PostgreSQL server on this data directory, judged by its command line."""
    try:
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return str(data_directory) in arguments and any(Path(argument).name == "postgres" for argument in arguments[:1])


def _pid_file_lines(data_directory: Path) -> list[str]:
    try:
        return [line.strip() for line in (data_directory / "postmaster.pid").read_text().splitlines()]
    except (FileNotFoundError, ValueError):
        return []

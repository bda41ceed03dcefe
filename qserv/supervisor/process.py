"""One service process of a running cluster."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from qserv.embedded.logfile import LogFile
from qserv.embedded.orphans import STOP_STEPS
from qserv.embedded.ports import listens
from qserv.embedded.processes import POLL_S, Process, RunRecord
from qserv.embedded.storage import FULL_DISK, disk_full_as_error, storage_full
from qserv.errors import ClusterError
from qserv.settings import Settings
from qserv.supervisor.probe import answers
from qserv.supervisor.services import Service

START_TIMEOUT_S = 180.0
"""A worker or the TAP service is up in one to two seconds; on a machine with twenty times too much to do it took a minute."""


class ServiceProcess:
    """A service that is started, watched and stopped."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self._home: Path = settings.home
        self._environment = {**service.environment, **os.environ} | settings.environment() | {"PYTHONUNBUFFERED": "1"}
        self._child: subprocess.Popen[bytes] | None = None
        self._record: RunRecord | None = None
        self._log = LogFile(self._home, service.name)
        self._log_start_bytes = 0

    @property
    def exited(self) -> bool:
        """Whether the process has ended by itself or was never started."""
        return self._child is None or self._child.poll() is not None

    @property
    def pid(self) -> int | None:
        """Number of the process while it runs."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def kill(self, pid: int) -> None:
        """End the process at once, if it is still this one."""
        child = self._child
        if child is not None and child.pid == pid:
            child.kill()

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        # -P: a directory of the home must not be taken for a Python package.
        arguments = [sys.executable, "-P", "-m", self.service.module, "--home", str(self._home), *self.service.arguments]
        with disk_full_as_error(self._home), self._log.open() as log:
            self._log_start_bytes = self._log.size_bytes
            self._child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                env=self._environment,
                start_new_session=True,
            )
            process = Process.of(self._child.pid)
            if process is not None:
                self._record = RunRecord(self.service.name, self.service.kind, process, self.service.port, time.time())
                self._record.write(self._home)

    def wait_ready(self, cancelled: threading.Event, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the service answers.

        Raises
        ------
        StorageFullError
            The service stopped because the disk is full.
        ClusterError
            It stopped, or did not get ready in time (with the last words of its log), or ``cancelled`` was set.
        """
        deadline = time.monotonic() + timeout_s
        while not self._ready():
            if self.exited:
                words = self._log.tail(self._log_start_bytes)
                if FULL_DISK in words:
                    raise storage_full(self._home)
                msg = f"{self.service.name} stopped while starting; {self._log.path} ends:\n{words}"
                raise ClusterError(msg)
            if cancelled.wait(POLL_S):
                msg = "the start was interrupted"
                raise ClusterError(msg)
            if time.monotonic() > deadline:
                msg = f"{self.service.name} was not ready within {timeout_s:.0f} s; see {self._log.path}"
                raise ClusterError(msg)

    def _ready(self) -> bool:
        """Return whether our process, and not another one on its port, listens and answers."""
        service = self.service
        return (
            self._child is not None and listens(self._child.pid, service.port) and answers(service.kind, service.host, service.port)
        )

    def stop(self) -> None:
        """Ask the process to end, force it where that takes too long, and collect it."""
        if self._child is None:
            return
        if self._record is not None:
            self._record.process.end(STOP_STEPS)
            self._record.remove(self._home)
        self._child.wait()
        self._child = self._record = None

"""PostgreSQL's ``postmaster.pid``: which server holds a data directory, and what to do with one that a crash left behind."""

from dataclasses import dataclass
from pathlib import Path

from qserv.embedded.processes import Process

NO_PROCESS = 2**22 + 1
"""A pid that no process has: Linux's largest is 2**22 (``PID_MAX_LIMIT``)."""

STATE_LINE = 7
"""Index of the line with the server's state (``LOCK_FILE_LINE_PM_STATUS`` of PostgreSQL's pidfile.h, counted from 1)."""


@dataclass(frozen=True)
class PidFile:
    """The pid file of a data directory, which may not exist."""

    data_directory: Path

    @property
    def path(self) -> Path:
        """Where PostgreSQL writes it."""
        return self.data_directory / "postmaster.pid"

    def lines(self) -> list[str]:
        """Return its lines; none if there is no file."""
        try:
            return [line.strip() for line in self.path.read_text().splitlines()]
        except (FileNotFoundError, ValueError):
            return []

    def is_ready(self, pid: int) -> bool:
        """Return whether the server of this pid takes connections (``pg_ctl --wait`` finds it out in the same way)."""
        lines = self.lines()
        return len(lines) > STATE_LINE and lines[0] == str(pid) and lines[STATE_LINE] == "ready"

    def server(self) -> Process | None:
        """Return the server that runs on the data directory; None if the pid is nobody's or that of another program."""
        lines = self.lines()
        process = Process.of(int(lines[0])) if lines and lines[0].isdigit() else None
        return process if process is not None and self._serves(process) else None

    def disown(self) -> None:
        """Make a stale file name no living process. Call it when `server` is None.

        PostgreSQL refuses to start while the file's pid belongs to any process of the same user: to another program that got the
        number by chance, or to the ended server itself while nobody has collected it. The file stays: by its shared memory key
        PostgreSQL sees whether sessions of a killed server still write to the data, and waits for us to try again.
        """
        lines = self.lines()
        if not lines or not lines[0].isdigit():
            # Cut off by a crash while it was written: PostgreSQL cannot read it, and a server that wrote it did not get further.
            self.path.unlink(missing_ok=True)
        else:
            text = self.path.read_text()
            self.path.write_text(str(NO_PROCESS) + text[text.index("\n") :] if "\n" in text else str(NO_PROCESS))

    def _serves(self, process: Process) -> bool:
        """Return whether a process is a PostgreSQL server on this data directory, judged by its command line."""
        try:
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False
        return Path(arguments[0]).name == "postgres" and str(self.data_directory) in arguments

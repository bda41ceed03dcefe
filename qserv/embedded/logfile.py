"""Log files of the started processes, below the home."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

LOG_DIRECTORY = "logs"
"""Below the home: one log for each process."""

MAX_LOG_BYTES = 16 * 1024 * 1024
"""A longer log is put aside (as ``.1``, replacing the one before) when its process is started."""

TAIL_BYTES = 4096
"""Enough for the last messages of a failed start."""

TAIL_LINES = 12
"""What a person reads of them in an error message."""


@dataclass(frozen=True)
class LogFile:
    """Log of one process, by its name in the cluster."""

    home: Path
    name: str

    @property
    def path(self) -> Path:
        """Where the log is."""
        return self.home / LOG_DIRECTORY / f"{self.name}.log"

    @property
    def size_bytes(self) -> int:
        """Length of the log now; 0 if there is none yet."""
        return self.path.stat().st_size if self.path.exists() else 0

    def open(self) -> IO[bytes]:
        """Open the log for appending; a very long one is put aside first."""
        self.path.parent.mkdir(exist_ok=True)
        if self.size_bytes > MAX_LOG_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
        return self.path.open("ab")

    def tail(self, start_bytes: int = 0) -> str:
        """Return the last lines, of those written since the log had ``start_bytes``."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(start_bytes, self.size_bytes - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])

"""Log files of the started processes, below the home."""

from pathlib import Path
from typing import IO

LOG_DIRECTORY = "logs"
"""Below the home: one log for each process."""

MAX_LOG_BYTES = 16 * 1024 * 1024
"""A longer log is put aside (as ``.1``, replacing the one before) when its process is started."""

TAIL_BYTES = 4096
"""Enough for the last messages of a failed start."""


def log_path(home: Path, name: str) -> Path:
    """Return the log of a process."""
    return home / LOG_DIRECTORY / f"{name}.log"


def open_log(home: Path, name: str) -> IO[bytes]:
    """Open the log of a process for appending."""
    path = log_path(home, name)
    path.parent.mkdir(exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def log_tail(home: Path, name: str) -> str:
    """Return the last lines of a log."""
    path = log_path(home, name)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-12:])

"""Processor priority of PostgreSQL backends that serve scans and merges: look-ups, commits and services go before them.

The system shares the processor among all that want it: beside nine backends that scan, a look-up's backend, its worker and the czar
would have a tenth of it each.
"""

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

import structlog

NICENESS: Final = 10
"""As setpriority(2) counts. A scan then has a tenth of the processor beside a look-up, and all of it while there is none: so it is
slowed down, but never stopped, and what it locks is let go of soon."""

_PROCESSES: Final = Path("/proc")

_log = structlog.get_logger("workers")


def give_way(pid: int, port: int) -> None:
    """Lower the priority of a backend, if it runs on this machine and this process may.

    Parameters
    ----------
    pid
        As PostgreSQL tells it. On another machine, or in another container, it is another process's number, or nobody's.
    port
        Of TCP, at our end of its connection: by that the backend is known, because it shows who it serves.
    """
    process = _PROCESSES / str(pid)
    try:
        if not _serves(process, port):
            _once("it is not to be seen from here")
            return
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    except OSError as error:
        _once(error.strerror or type(error).__name__)
        return
    # Each backend is a session, which has a priority too where Linux shares the processor among sessions first (sched(7), "The
    # autogroup feature"). From others than root the kernel takes one such change in a tenth of a second; a second one is lost.
    with contextlib.suppress(OSError):
        (process / "autogroup").write_text(str(NICENESS))


def port_of(own: socket.socket) -> int:
    """Return the port of TCP at our end of a connection; 0 where it is another one."""
    name = own.getsockname()
    return int(name[1]) if isinstance(name, tuple) else 0


def _serves(process: Path, port: int) -> bool:
    """Return whether a process is a backend of the connection from this port: ``postgres: role database host(port) state``."""
    return f"({port}) " in (process / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")


_told: Final = set[str]()


def _once(reason: str) -> None:
    if reason not in _told:
        _told.add(reason)
        _log.debug("backends of scans keep their priority", reason=reason)

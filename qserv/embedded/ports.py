"""TCP ports: finding free ones, and telling who holds one that is taken."""

import contextlib
import errno
import random
import socket
from pathlib import Path

from qserv.errors import ClusterError, PortInUseError

PORT_RANGE = range(15_000, 32_000)
"""Where ports of our own are taken from: below Linux's ephemeral range (32768 to 60999), so that no outgoing connection of another
program takes one between the moment we find it free and the moment a server listens on it."""

ATTEMPTS = 1000
"""Ports tried at random before we say that none is free."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on the port now.

    Raises
    ------
    ClusterError
        The address is not one of this machine, or the port needs root.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        # As PostgreSQL and uvicorn do: connections of an earlier server that still linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            msg = (
                f"cannot listen on {host}, port {port}: {error.strerror}; set QSERV_TAP_HOST and QSERV_TAP_PORT to ones you may use"
            )
            raise ClusterError(msg) from error
    return True


def find_free_port(taken: set[int]) -> int:
    """Return a port of `PORT_RANGE` that is free and not in ``taken``.

    Raises
    ------
    ClusterError
        None was found.
    """
    for _ in range(ATTEMPTS):
        port = random.choice(PORT_RANGE)  # noqa: S311 (no secret)
        if port not in taken and is_free(port):
            return port
    msg = f"no free TCP port between {PORT_RANGE.start} and {PORT_RANGE.stop - 1} on 127.0.0.1; stop some programs that listen"
    raise ClusterError(msg)


def require_free(port: int, host: str, setting: str) -> None:
    """Refuse a fixed port that is taken.

    Raises
    ------
    PortInUseError
        Says who holds it, as far as we may know, and which setting to change.
    """
    if not is_free(port, host):
        msg = f"port {port} on {host} is in use by {holder(port)}; stop that, or set {setting} to another port (0 finds a free one)"
        raise PortInUseError(msg)


def holder(port: int) -> str:
    """Return who listens on a port of this machine: command and pid, if ``/proc`` lets us see them."""
    sockets = _listening_sockets(port)
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _has_one_of(directory, sockets):
                return f"{(directory / 'comm').read_text().strip()} (process {directory.name})"
    return "another program"


def listens(pid: int, port: int) -> bool:
    """Return whether this very process, one of ours, listens on the port."""
    try:
        return _has_one_of(Path(f"/proc/{pid}"), _listening_sockets(port))
    except OSError:
        return False


def _listening_sockets(port: int) -> set[str]:
    """Return the sockets of this machine that listen on the port, as links in ``/proc/<pid>/fd`` name them."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                # proc_pid_net(5): local address in hexadecimal, state 0A is LISTEN, field 10 the inode.
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    return sockets


def _has_one_of(process: Path, sockets: set[str]) -> bool:
    """Return whether a process, by its directory in ``/proc``, holds one of the sockets. A file closed meanwhile is none."""
    for link in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(link.readlink()) in sockets:
                return True
    return False

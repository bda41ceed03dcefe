"""Notices that the metadata server has fallen silent, and frees the threads that wait for it.

libpq waits for a server as long as its connection is open, and that of a frozen one is. So the connection is ended from here.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from urllib.parse import quote

import psycopg

LOOKS_A_SILENCE = 2
"""How often it is looked at who waits: the sooner one that has waited for long is found."""

LEAST_CONNECT_S = 2
"""What psycopg and libpq take a shorter time for."""

SESSION = quote("-c client_connection_check_interval=1s")
"""A statement whose connection was ended from here goes on for so long at most."""


class Watch:
    """Threads that wait for one server, each over a connection that is known by its port here.

    A statement may take as long as it needs: while it does, the server is asked over a new connection whether it lives.

    Parameters
    ----------
    uri
        libpq URI of the server.
    silence_s
        Seconds of waiting after which it is asked. A server that does not answer for as long is lost.
    """

    def __init__(self, uri: str, silence_s: float) -> None:
        self.uri = f"{uri}?connect_timeout={max(LEAST_CONNECT_S, ceil(silence_s))}&options={SESSION}"
        """With a limit for making a connection; and what runs on one ends soon after it."""
        self._silence_s = silence_s
        self._waiting: dict[int, float] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="watch-server", daemon=True).start()

    def close(self) -> None:
        """Watch no longer."""
        self._closed.set()

    @contextlib.contextmanager
    def waiting(self, port: int) -> Iterator[None]:
        """Free this thread, whose connection then fails, if the server falls silent during the block."""
        self._waiting[port] = time.monotonic()
        try:
            yield
        finally:
            self._waiting.pop(port, None)

    def _look(self) -> None:
        while not self._closed.wait(self._silence_s / LOOKS_A_SILENCE):
            before_s = time.monotonic() - self._silence_s
            late = [port for port, since_s in list(self._waiting.items()) if since_s <= before_s]
            if late and not self._answers():
                _end_connections(self._waiting.keys() & late)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.uri).close()
        except psycopg.OperationalError as error:
            return error.sqlstate is not None  # such as too many connections: it can speak
        return True


def _end_connections(ports: set[int]) -> None:
    """End connections of this process by their ports here; who waits for one learns that it is closed."""
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if path.readlink().name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(path.name))) as connection:
                    if connection.family in {socket.AF_INET, socket.AF_INET6} and connection.getsockname()[1] in ports:
                        connection.shutdown(socket.SHUT_RDWR)

"""A bounded pool of connections, the one used last handed out first."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Connection(Protocol):
    """What a pool keeps."""

    def close(self) -> None:
        """End the connection."""

    @property
    def worn(self) -> bool:
        """Whether the connection must not be used again."""


C = TypeVar("C", bound=Connection)


class Pool(Generic[C]):
    """Connections that are made when first needed.

    Parameters
    ----------
    connect
        Makes one; its errors reach the caller of `take`.
    size
        Most connections at a time; `take` waits for one beyond it.
    kept
        Idle ones that are kept, at the most; default: all.
    """

    def __init__(self, connect: Callable[[], C], size: int, kept: int | None = None) -> None:
        self._connect = connect
        self._kept = size if kept is None else kept
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self._closed = False

    def take(self) -> C:
        """Return an idle connection, or a new one."""
        self._free.acquire()
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return self._connect()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, connection: C) -> None:
        """Take a connection back; a worn one, or one too many, is closed."""
        try:
            with self._lock:
                keep = not connection.worn and not self._closed and len(self._idle) < self._kept
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()
        finally:
            self._free.release()

    def forget_idle(self) -> None:
        """Close the idle connections, as when the server was restarted and they all are dead."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close the idle connections now, those in use when they come back."""
        with self._lock:
            self._closed = True
        self.forget_idle()

"""Hands things from many threads to one, and holds the threads back while it is slow."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """What waits for a reader, in the order in which it came. The reader takes all that is there at once.

    A queue of few places would wake a thread for every one that gets free: with hundreds of nodes that costs more than all else. So
    whoever is held back goes on when the reader comes for more.

    Parameters
    ----------
    most, most_bytes
        How many may wait, and about how many bytes of them, those included that the reader took last; one always may.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[T] = deque()
        self._waiting_bytes = 0
        self._read, self._read_bytes = 0, 0
        """What the reader took last."""
        self._closed = False
        self._is_awaited = False
        """Whether the reader waits. It is woken only then: to find out that nobody waits takes a condition a microsecond."""
        self._lock = threading.Lock()
        self._given, self._taken = threading.Condition(self._lock), threading.Condition(self._lock)

    def put(self, one: T, size_bytes: int = 0) -> bool:
        """Give something, once there is room; return whether it was taken in, which it is not after `close`."""
        with self._lock:
            while not self._closed and self._is_full(size_bytes):
                self._taken.wait()
            if self._closed:
                return False
            self._waiting.append(one)
            self._waiting_bytes += size_bytes
            if self._is_awaited:
                self._is_awaited = False
                self._given.notify()
            return True

    def take(self) -> deque[T]:
        """Wait for more, and return all there is; nothing after `close`. What was taken before is done with."""
        with self._lock:
            self._read, self._read_bytes = 0, 0
            self._taken.notify_all()
            while not self._closed and not self._waiting:
                self._is_awaited = True
                self._given.wait()
            found, self._waiting = self._waiting, deque()
            self._read, self._read_bytes, self._waiting_bytes = len(found), self._waiting_bytes, 0
            return found

    def close(self) -> deque[T]:
        """Wake everybody; return what nobody took."""
        with self._lock:
            self._closed = True
            found, self._waiting = self._waiting, deque()
            self._given.notify_all()
            self._taken.notify_all()
            return found

    def _is_full(self, more_bytes: int) -> bool:
        count, size_bytes = self._read + len(self._waiting), self._read_bytes + self._waiting_bytes
        return count > 0 and (count >= self._most or size_bytes + more_bytes > self._most_bytes)

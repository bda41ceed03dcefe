"""Hands things from many threads to one, and holds the threads back while it is slow."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """What waits for a reader, in the order in which it came. The reader takes all that is there at once.

    A lock is taken only where somebody waits, or for something large: one that hundreds of threads take is seldom free, and each of
    them would go to sleep for whatever it gives. Those that are held back go on one after the other, as hundreds that are awake and
    wait for the interpreter look at it 200 times a second each.

    Parameters
    ----------
    most, most_bytes
        How many may wait, and about how many bytes of them, those included that the reader took last; one always may. Threads that
        give something at the same time may be one each beyond it.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._least_bytes = most_bytes // (2 * most)
        """What a thing counts for at the least. So small ones are only counted; of large ones the bytes beyond it are added up."""
        self._waiting: deque[T] = deque()
        """Threads append to it and the reader takes from its begin, which deques allow at the same time."""
        self._waiting_beyond = 0
        """Bytes of large things that wait, beyond what each thing counts for."""
        self._read, self._read_beyond = 0, 0
        """What the reader took last."""
        self._closed = False
        self._is_awaited = False
        """Whether the reader waits."""
        self._lock = threading.Lock()
        self._given, self._taken = threading.Condition(self._lock), threading.Condition(self._lock)

    def put(self, one: T, size_bytes: int = 0) -> bool:
        """Give something, once there is room; return whether it was taken in, which it is not after `close`."""
        beyond = max(0, size_bytes - self._least_bytes)
        if beyond or self._is_full(beyond):
            self._put_with_lock(one, beyond)
        else:
            self._waiting.append(one)
        # The reader says that it waits before it looks for the last time: either it finds this one, or it is woken here.
        if self._is_awaited:
            self._is_awaited = False
            with self._lock:
                self._given.notify()
        return not (self._closed and self._withdrawn(one))

    def take(self) -> deque[T]:
        """Wait for more, and return all there is; nothing after `close`. What was taken before is done with."""
        with self._lock:
            self._read, self._read_beyond = 0, 0
            self._taken.notify()
            while not self._closed and not self._waiting:
                self._is_awaited = True
                if not self._waiting:
                    self._given.wait()
            self._is_awaited = False
            return self._all()

    def close(self) -> deque[T]:
        """Wake everybody; return what nobody took."""
        with self._lock:
            self._closed = True
            self._given.notify_all()
            self._taken.notify_all()
            return self._all()

    def _put_with_lock(self, one: T, beyond: int) -> None:
        with self._lock:
            while not self._closed and self._is_full(beyond):
                self._taken.wait()
            self._waiting.append(one)
            self._waiting_beyond += beyond
            if not self._is_full(0):
                self._taken.notify()

    def _withdrawn(self, one: T) -> bool:
        """Take something back that was given while, or after, this was closed; return whether it was still there."""
        with self._lock:
            try:
                self._waiting.remove(one)
            except ValueError:
                return False
            return True

    def _all(self) -> deque[T]:
        """Return what waits, with the lock; more may come meanwhile."""
        count = len(self._waiting)
        self._read, self._read_beyond, self._waiting_beyond = count, self._waiting_beyond, 0
        return deque([self._waiting.popleft() for _ in range(count)])

    def _is_full(self, beyond: int) -> bool:
        count = self._read + len(self._waiting)
        size_bytes = self._read_beyond + self._waiting_beyond + beyond + (count + 1) * self._least_bytes
        return count > 0 and (count >= self._most or size_bytes > self._most_bytes)

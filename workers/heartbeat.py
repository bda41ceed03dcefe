"""Signs of life that a worker is asked for while calls wait for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Heartbeat:
    """Asks at regular times, as long as there are calls.

    gRPC finds out that a worker is frozen, or its machine gone, by pings of its own. A worker takes these for an attack if nothing
    else passes between them, as while PostgreSQL computes for minutes; the answer to a beat is something else.

    Parameters
    ----------
    beat
        Asks once, and raises nothing.
    every_s
        How often.
    """

    def __init__(self, beat: Callable[[], None], every_s: float) -> None:
        self._beat, self._every_s = beat, every_s
        self._lock = threading.Lock()
        self._calls = 0
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def during(self) -> Iterator[None]:
        """Ask for signs of life during the block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count a call that begins."""
        with self._lock:
            self._calls += 1
            if self._thread is None and not self._closed.is_set():
                # It looks by itself now and then: waking it for each call would cost short queries more than they take.
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Count a call that ended."""
        with self._lock:
            self._calls -= 1

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            if self._calls:
                self._beat()

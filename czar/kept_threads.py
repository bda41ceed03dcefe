"""Threads that are kept when their work is done: to start one takes as long as to ask a node for a row."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, NamedTuple

IDLE: Final = "idle"
"""Name of threads that wait for work."""


class Work(NamedTuple):
    """A function, which handles its own errors, and the name of a thread while it runs it."""

    name: str
    function: Callable[[], None]


class KeptThreads:
    """Runs functions at once, each in a thread of its own; some idle threads are kept for the next ones.

    Parameters
    ----------
    kept
        Idle threads, at the most.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._idle: list[SimpleQueue[Work]] = []
        """Where idle threads wait for work, the last one of them first."""
        self._lock = threading.Lock()

    def start(self, name: str, function: Callable[[], None]) -> None:
        """Run a function in a thread, and do not wait for it."""
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is None:
            waiting = SimpleQueue()
            threading.Thread(target=self._run, args=(waiting,), name=name, daemon=True).start()
        waiting.put(Work(name, function))

    def _run(self, waiting: SimpleQueue[Work]) -> None:
        _do(waiting.get())
        while self._keeps(waiting):
            _do(waiting.get())

    def _keeps(self, waiting: SimpleQueue[Work]) -> bool:
        """Keep a thread that is idle, unless there are enough of them."""
        with self._lock:
            if len(self._idle) >= self._kept:
                return False
            self._idle.append(waiting)
            return True


def _do(work: Work) -> None:
    thread = threading.current_thread()
    thread.name = work.name
    work.function()
    thread.name = IDLE

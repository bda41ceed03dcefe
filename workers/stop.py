"""How the parts of one running query are told to stop."""

import threading
from collections.abc import Callable

from qserv.errors import QservError


class Stop:
    """Asked once, by any thread; heard by every part that listens, and by every part that begins to listen later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: QservError | None = None
        self._listeners: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def reason(self) -> QservError | None:
        """Why the query has to stop; None while it may go on."""
        return self._reason

    def request(self, reason: QservError) -> None:
        """Stop the query. Only the first reason counts.

        Listeners are called under the lock: once a listener is removed, it is not called any more, so that a cancel never reaches
        the next query of its connection.
        """
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            for listener in self._listeners.values():
                listener()

    def insist(self) -> None:
        """Call the listeners again, if there is a reason: PostgreSQL ignores a cancel that reaches it between two statements."""
        with self._lock:
            if self._reason is not None:
                for listener in self._listeners.values():
                    listener()

    def check(self) -> None:
        """Raise the reason, if there is one."""
        if self._reason is not None:
            raise self._reason

    def add(self, interrupt: Callable[[], None]) -> int:
        """Call `interrupt` when the query is stopped, until `remove` is called with the number returned.

        Raises
        ------
        QservError
            The query was stopped before.
        """
        with self._lock:
            self.check()
            self._next += 1
            self._listeners[self._next] = interrupt
            return self._next

    def remove(self, token: int) -> None:
        """Listen no more. Removing twice does no harm."""
        with self._lock:
            self._listeners.pop(token, None)

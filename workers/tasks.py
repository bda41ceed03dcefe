"""Which chunk queries run on this worker and which wait: a state machine without threads, clock or I/O. Its caller locks."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from qserv.errors import NodeUnavailableError, QueryCancelledError

REMEMBERED_CANCELS: Final = 10_000
"""Cancelled queries that are remembered, so that a chunk query that arrives after its cancel is not begun. More than can be on
their way at once; some 100 bytes each."""


class CallState(StrEnum):
    """Of one call for chunk rows."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLED = "cancelled"
    ENDED = "ended"


@dataclass(eq=False)
class Call:
    """One call for chunk rows. A query may make several: a retry, or one for each of its steps."""

    query_id: str
    state: CallState = CallState.WAITING


@dataclass
class Tasks:
    """All calls of a worker.

    At most `max_running` run and `max_waiting` wait, first come, first served.
    """

    max_running: int
    max_waiting: int
    _running: list[Call] = field(default_factory=list)
    _waiting: list[Call] = field(default_factory=list)
    _cancelled: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def running(self) -> int:
        """Number of calls that run, cancelled ones that have not ended yet among them."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Number of calls that wait."""
        return len(self._waiting)

    def arrive(self, query_id: str) -> Call:
        """Register a call. It runs at once if there is room.

        Raises
        ------
        QueryCancelledError
            The query was cancelled before.
        NodeUnavailableError
            Too many calls wait already.
        """
        if query_id in self._cancelled:
            raise cancelled(query_id)
        if len(self._running) >= self.max_running and len(self._waiting) >= self.max_waiting:
            msg = f"this worker runs {len(self._running)} chunk queries and {len(self._waiting)} wait; try again later"
            raise NodeUnavailableError(msg)
        call = Call(query_id)
        self._waiting.append(call)
        self._promote()
        return call

    def cancel(self, query_id: str) -> list[Call]:
        """Cancel all calls of a query, and those yet to come; return those that it stopped.

        The ones that run stay in their place until `end` is called for them.
        """
        self._cancelled[query_id] = None
        self._cancelled.move_to_end(query_id)
        if len(self._cancelled) > REMEMBERED_CANCELS:
            self._cancelled.popitem(last=False)
        stopped = [call for call in (*self._running, *self._waiting) if call.query_id == query_id and call.state in _LIVE]
        for call in stopped:
            call.state = CallState.CANCELLED
        self._waiting = [call for call in self._waiting if call.state is CallState.WAITING]
        return stopped

    def end(self, call: Call) -> None:
        """A call is over, for whatever reason; the next one may run. Ending twice does no harm."""
        call.state = CallState.ENDED
        self._running = [other for other in self._running if other is not call]
        self._waiting = [other for other in self._waiting if other is not call]
        self._promote()

    def _promote(self) -> None:
        while self._waiting and len(self._running) < self.max_running:
            call = self._waiting.pop(0)
            call.state = CallState.RUNNING
            self._running.append(call)


_LIVE = {CallState.WAITING, CallState.RUNNING}


def cancelled(query_id: str) -> QueryCancelledError:
    """Return the error of a cancelled query."""
    return QueryCancelledError(f"query {query_id} was cancelled")

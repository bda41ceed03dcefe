"""The scheduler at work: threads of calls wait here for their turns."""

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from qserv.errors import TimeLimitError
from workers.protocol import Lane
from workers.scheduler import Call, Scheduler, Turn, cancelled
from workers.stop import Stop


class Place:
    """A call among those of the worker. Its own thread asks for turns; any thread may stop it."""

    def __init__(self, turns: "Turns", call: Call, deadline_s: float) -> None:
        self._turns, self._call = turns, call
        self.stop = Stop()
        """Ends the call early."""
        self.deadline_s = deadline_s
        """When its time is over, on the clock of `time.monotonic`."""

    @property
    def left(self) -> int:
        """Tasks whose turn has not come."""
        return len(self._call.waiting)

    @property
    def in_flight(self) -> int:
        """Turns that it may have at a time."""
        return self._turns.scheduler.rules[self._call.lane].each

    @property
    def is_alone(self) -> bool:
        """Whether no other call scans, or this one does not."""
        return self._turns.is_alone(self._call)

    def next(self, most: int, *, wait: bool, ended: Turn | None = None) -> Turn | None:
        """Return a turn for at most so many tasks; end another one.

        Without `wait`, None where there is none at once; with it, None when no task is left.

        Raises
        ------
        QueryCancelledError
            It was stopped.
        TimeLimitError
            Its time was over before its turn came.
        """
        return self._turns.next(self, self._call, most, wait=wait, ended=ended)

    def end(self, turn: Turn) -> None:
        """End a turn, and want no other one."""
        self._turns.end(turn)

    def leave(self) -> None:
        """End the call, with all its turns. Doing it twice does no harm."""
        self._turns.leave(self._call)


class Turns:
    """All calls of a worker, and who of them may use PostgreSQL.

    Parameters
    ----------
    scheduler
        Decides; it is used by nobody else.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._lock = threading.Lock()
        """Guards the scheduler. Nothing that waits, and no other lock, is taken under it."""
        self._places: dict[Call, Place] = {}
        self._wake: dict[Call, threading.Condition] = {}

    def enter(self, query_id: str, lane: Lane, chunks: Sequence[int], deadline_s: float) -> Place:
        """Register a call; `Place.leave` ends it.

        Raises
        ------
        QueryCancelledError
            The query was cancelled before.
        NodeUnavailableError
            Too many calls are here already.
        """
        with self._lock:
            call = self.scheduler.arrive(query_id, lane, chunks)
            self._places[call] = Place(self, call, deadline_s)
            self._wake[call] = threading.Condition(self._lock)
            return self._places[call]

    def next(self, place: Place, call: Call, most: int, *, wait: bool, ended: Turn | None) -> Turn | None:
        """Return the next turn of a call; see `Place.next`."""
        place.stop.check()
        if not call.waiting:
            if ended is not None:
                self.end(ended)
            return None
        if not wait:
            with self._lock:
                self._notify(self.scheduler.want(call, most, time.monotonic(), ended))
                return self.scheduler.take(call)
        wake = self._wake[call]
        listening = place.stop.add(lambda: self._stir(wake))
        try:
            with self._lock:
                self._notify(self.scheduler.want(call, most, time.monotonic(), ended))
                while call.granted is None and place.stop.reason is None:
                    if not wake.wait(place.deadline_s - time.monotonic()):
                        break
                turn = self.scheduler.take(call)
        finally:
            place.stop.remove(listening)
        place.stop.check()
        if turn is None:
            msg = "the query waited for its turn for longer than its time limit; try again later"
            raise TimeLimitError(msg)
        return turn

    def end(self, turn: Turn) -> None:
        """End a turn."""
        with self._lock:
            self._notify(self.scheduler.end(turn, time.monotonic()))

    def is_alone(self, call: Call) -> bool:
        """Return whether no other call scans, or this one does not."""
        with self._lock:
            return self.scheduler.is_alone(call)

    def leave(self, call: Call) -> None:
        """End a call."""
        with self._lock:
            self._places.pop(call, None)
            self._wake.pop(call, None)
            self._notify(self.scheduler.leave(call, time.monotonic()))

    def cancel(self, query_id: str) -> int:
        """Stop all calls of a query, and those yet to come; return how many there were."""
        with self._lock:
            stops = [self._places[call].stop for call in self.scheduler.cancel(query_id)]
        for stop in stops:
            stop.request(cancelled(query_id))
        return len(stops)

    def look(self) -> None:
        """Move what has become slow out of the way; to be done often."""
        with self._lock:
            self._notify(self.scheduler.grant(time.monotonic()))

    def state(self) -> dict[str, Any]:
        """Return what `Health` tells of queries and lanes."""
        with self._lock:
            scheduler = self.scheduler
            return {
                "queries": scheduler.running,
                "waiting": scheduler.waiting,
                "lanes": {
                    lane: {
                        "waiting": scheduler.chunks_waiting(lane),
                        "running": len(scheduler.turns(lane)),
                        "aside": len(scheduler.turns(lane, aside=True)),
                        **scheduler.counts[lane].__dict__,
                    }
                    for lane in Lane
                },
            }

    def _stir(self, wake: threading.Condition) -> None:
        """Let a call's thread look around."""
        with self._lock:
            wake.notify_all()

    def _notify(self, granted: Iterable[Call]) -> None:
        for call in granted:
            self._wake[call].notify_all()

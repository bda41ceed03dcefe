"""Which chunks of which queries a worker asks PostgreSQL for, and when: two lanes, shared scans, demotion.

A state machine without threads, clock or I/O: times are given to it, and its caller locks. ``docs/decisions/lanes.md`` says why it
is as it is.

A *call* is a chunk query with its chunks. It *wants* while its thread could begin a statement at once; a *turn* lets it begin one,
for one chunk or for a few in a row, and lasts until the rows of the statement have been read.
"""

import bisect
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from qserv.errors import NodeUnavailableError, QueryCancelledError
from workers.protocol import Lane

REMEMBERED_CANCELS: Final = 10_000
"""Cancelled queries that are remembered, so that a chunk query that arrives after its cancel is not begun. More than can be on
their way at once; some 100 bytes each."""

PATIENCE_S: Final = 10.0
"""Time that a call waits for the sweep to come to its chunks; then it may have a turn out of order. Some ten chunks' time."""

IN_ORDER_TURNS: Final = 8
"""Turns in the order of the sweep for each one out of order, so that what is read out of order stays a small share also where so
many wait that all of them are out of patience."""

MOST_CALLS: Final = 256
"""Calls in a lane; each holds a thread and, with thousands of chunks, a megabyte of names."""

INTERACTIVE_SLOTS: Final = 8
"""A look-up by an index takes a millisecond or, from a cold disk, a hundred: eight serve hundreds of clients a second."""

INTERACTIVE_EACH: Final = 2
"""While the rows of one statement are sent, the next one is computed."""

INTERACTIVE_TURN_S: Final = 2.0
"""A hundred times what a cone of a few arcminutes takes."""

SCAN_TURN_S: Final = 10.0
"""Ten times what an aggregate over a chunk of a million rows takes."""

MOST_ASIDE: Final = 32
"""Statements that go on beside the slots: most of them wait for slow readers. Each is a backend with its own working memory."""


@dataclass(frozen=True)
class LaneRule:
    """How much of a lane runs at a time."""

    slots: int
    """Turns at a time."""
    each: int
    """Turns of one call at a time, those beside the slots included."""
    turn_s: float
    """Time after which a turn gives its slot up and goes on beside them."""


@dataclass
class LaneCount:
    """What a lane did since the worker started."""

    begun: int = 0
    """Turns."""
    waited_s: float = 0.0
    """Time that calls wanted before these turns."""
    slow: int = 0
    """Turns that were longer than the lane's."""


@dataclass
class Sweep:
    """Where scans are in the order of chunks. At its ends it turns back: what was read last is what may still be in memory."""

    position: int = 0
    """A chunk."""
    goes_up: bool = True


@dataclass(eq=False)
class Call:
    """One chunk query on this worker. A query may make several: a retry, or one for each of its steps."""

    query_id: str
    lane: Lane
    waiting: list[tuple[int, int]]
    """Chunks whose turn has not come, ascending, each with the place of its task."""
    turns: "list[Turn]" = field(default_factory=list)
    """Those that are not over."""
    most: int = 0
    """Chunks that it takes at once; 0 while it does not want any."""
    since_s: float = 0.0
    """When it began to want."""
    granted: "Turn | None" = None
    """A turn that it has not begun."""
    cancelled: bool = False

    @property
    def wants(self) -> bool:
        """Whether it could begin a turn at once."""
        return self.most > 0

    def ahead(self, sweep: Sweep) -> tuple[bool, int]:
        """Return what orders calls by the way to their next chunk: whether the sweep has to turn back for it, and how far it is."""
        place, turns_back = self._next(sweep)
        return turns_back, abs(self.waiting[place][0] - sweep.position)

    def taken(self, sweep: Sweep) -> list[tuple[int, int]]:
        """Take the next chunks out of those that wait, as many as are wanted, in the order of the sweep, which goes there."""
        place, turns_back = self._next(sweep)
        sweep.goes_up ^= turns_back
        sweep.position = self.waiting[place][0]
        row = slice(place, place + self.most) if sweep.goes_up else slice(max(0, place + 1 - self.most), place + 1)
        taken = self.waiting[row]
        del self.waiting[row]
        return taken if sweep.goes_up else taken[::-1]

    def _next(self, sweep: Sweep) -> tuple[int, bool]:
        """Return the place in `waiting` of the next chunk, and whether the sweep has to turn back for it."""
        if sweep.goes_up:
            place = bisect.bisect_left(self.waiting, (sweep.position, -1))
            return (place - 1, True) if place == len(self.waiting) else (place, False)
        place = bisect.bisect_right(self.waiting, (sweep.position, sys.maxsize))
        return (0, True) if place == 0 else (place - 1, False)


@dataclass(eq=False)
class Turn:
    """A statement of a call."""

    call: Call
    lane: Lane
    tasks: tuple[int, ...]
    """Places of the tasks that it is for."""
    began_s: float
    aside: bool = False
    """Whether it has given its slot up."""


@dataclass
class Scheduler:
    """All calls of a worker.

    Attributes
    ----------
    rules
        Of each lane.
    most_aside
        Turns that have given up their slots and still go on; beyond it turns keep them.
    most_calls
        Calls in each lane.
    """

    rules: dict[Lane, LaneRule]
    most_aside: int = MOST_ASIDE
    most_calls: int = MOST_CALLS
    sweep: Sweep = field(default_factory=Sweep)
    in_order: int = 0
    """Turns in the order of the sweep since the last one out of order."""
    counts: dict[Lane, LaneCount] = field(default_factory=lambda: {lane: LaneCount() for lane in Lane})
    _calls: list[Call] = field(default_factory=list)
    _cancelled: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def most_turns(self) -> int:
        """Turns at a time, and so connections."""
        return sum(rule.slots for rule in self.rules.values()) + self.most_aside

    @property
    def running(self) -> int:
        """Calls with a turn."""
        return sum(1 for call in self._calls if call.turns)

    @property
    def waiting(self) -> int:
        """Calls that have no turn and want one."""
        return sum(1 for call in self._calls if call.wants and not call.turns)

    def turns(self, lane: Lane, *, aside: bool = False) -> list[Turn]:
        """Return the turns in the slots of a lane, or those that were and have given them up."""
        return [turn for call in self._calls for turn in call.turns if turn.lane is lane and turn.aside is aside]

    def chunks_waiting(self, lane: Lane) -> int:
        """Return how many chunks wait in a lane."""
        return sum(len(call.waiting) for call in self._calls if call.lane is lane and not call.cancelled)

    def is_alone(self, call: Call) -> bool:
        """Return whether no other call scans, or this one does not."""
        return call.lane is not Lane.SCAN or not any(other.lane is Lane.SCAN and other is not call for other in self._calls)

    def arrive(self, query_id: str, lane: Lane, chunks: Sequence[int]) -> Call:
        """Register a call.

        Raises
        ------
        QueryCancelledError
            The query was cancelled before.
        NodeUnavailableError
            Too many calls are here already.
        """
        if query_id in self._cancelled:
            raise cancelled(query_id)
        present = sum(1 for call in self._calls if call.lane is lane)
        if present >= self.most_calls:
            msg = f"this worker has {present} chunk queries in its {lane} lane; try again later"
            raise NodeUnavailableError(msg)
        call = Call(query_id, lane, sorted((chunk, place) for place, chunk in enumerate(chunks)))
        self._calls.append(call)
        return call

    def want(self, call: Call, most: int, now_s: float, ended: Turn | None = None) -> list[Call]:
        """Let a call want a turn of at most so many chunks; return the calls that were granted one.

        With the turn of it that has just ended, if any: its slot is granted when it is known what all want, or the sweep would go
        on without the call whose chunk is the next one.
        """
        if not call.wants:
            call.since_s = now_s
        call.most = most
        return self.grant(now_s) if ended is None else self.end(ended, now_s)

    def take(self, call: Call) -> Turn | None:
        """Return the turn that was granted to a call, if any. In any case it wants none any more."""
        turn, call.granted, call.most = call.granted, None, 0
        return turn

    def end(self, turn: Turn, now_s: float) -> list[Call]:
        """End a turn; return the calls that were granted one. Ending twice does no harm."""
        if turn in turn.call.turns:
            turn.call.turns.remove(turn)
        return self.grant(now_s)

    def leave(self, call: Call, now_s: float) -> list[Call]:
        """End a call with all its turns; return the calls that were granted one."""
        call.turns.clear()
        call.most = 0
        if call in self._calls:
            self._calls.remove(call)
        return self.grant(now_s)

    def cancel(self, query_id: str) -> list[Call]:
        """Cancel all calls of a query, and those yet to come; return those that it stopped.

        Their turns last until they are ended: PostgreSQL is still at work for them.
        """
        self._cancelled[query_id] = None
        self._cancelled.move_to_end(query_id)
        if len(self._cancelled) > REMEMBERED_CANCELS:
            self._cancelled.popitem(last=False)
        stopped = [call for call in self._calls if call.query_id == query_id and not call.cancelled]
        for call in stopped:
            call.cancelled = True
            call.most = 0
        return stopped

    def grant(self, now_s: float) -> list[Call]:
        """Move what has become slow out of the way, and give free slots to those who want them; return who got one."""
        for turn in [turn for call in self._calls for turn in call.turns if not turn.aside]:
            if now_s - turn.began_s > self.rules[turn.lane].turn_s:
                self._is_slow(turn)
        granted = []
        for lane in (Lane.INTERACTIVE, Lane.SCAN):
            free = self.rules[lane].slots - len(self.turns(lane))
            while free > 0 and (following := self._following(lane, now_s)) is not None:
                self._begin(*following, now_s)
                granted.append(following[0])
                free -= 1
        return granted

    def _is_slow(self, turn: Turn) -> None:
        """Let a turn give its slot up, and its call go on in the lane of scans."""
        if len([each for lane in Lane for each in self.turns(lane, aside=True)]) < self.most_aside:
            turn.aside = True
            self.counts[turn.lane].slow += 1
        turn.call.lane = Lane.SCAN

    def _following(self, lane: Lane, now_s: float) -> tuple[Call, Sweep] | None:
        """Return the call whose turn it is, and the sweep, or a copy where the turn is out of its order."""
        each = self.rules[lane].each
        wanting = [
            call
            for call in self._calls
            if call.lane is lane and call.wants and call.waiting and not call.cancelled and len(call.turns) < each
        ]
        if not wanting:
            return None
        oldest = min(wanting, key=lambda call: call.since_s)
        if lane is Lane.INTERACTIVE:
            return oldest, Sweep()
        if now_s - oldest.since_s > PATIENCE_S and self.in_order >= IN_ORDER_TURNS:
            self.in_order = 0
            return oldest, replace(self.sweep)
        self.in_order += 1
        return min(wanting, key=lambda call: (call.ahead(self.sweep), call.since_s)), self.sweep

    def _begin(self, call: Call, sweep: Sweep, now_s: float) -> None:
        call.granted = Turn(call, call.lane, tuple(place for _, place in call.taken(sweep)), now_s)
        call.turns.append(call.granted)
        call.most = 0
        self.counts[call.lane].begun += 1
        self.counts[call.lane].waited_s += now_s - call.since_s


def cancelled(query_id: str) -> QueryCancelledError:
    """Return the error of a cancelled query."""
    return QueryCancelledError(f"query {query_id} was cancelled")


def lane_rules(scans: int) -> dict[Lane, LaneRule]:
    """Return the rules of a node whose scans read so many chunks at a time, be it for a single query."""
    return {
        Lane.INTERACTIVE: LaneRule(INTERACTIVE_SLOTS, min(INTERACTIVE_EACH, scans), INTERACTIVE_TURN_S),
        Lane.SCAN: LaneRule(scans, scans, SCAN_TURN_S),
    }

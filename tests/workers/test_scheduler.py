"""Lanes, sweep, demotion and patience, without threads: a simulated worker in simulated time."""

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qserv.embedded.machine import Machine
from qserv.errors import NodeUnavailableError, QueryCancelledError
from workers import scheduler as module
from workers.protocol import Lane
from workers.scheduler import IN_ORDER_TURNS, PATIENCE_S, LaneRule, Scheduler, lane_rules

INTERACTIVE, SCAN = Lane.INTERACTIVE, Lane.SCAN


def scheduler(slots=2, each=2, turn_s=10.0, **limits):
    return Scheduler({INTERACTIVE: LaneRule(2, 2, 1.0), SCAN: LaneRule(slots, each, turn_s)}, **limits)


@dataclass
class Query:
    """A client of the simulated worker; a chunk takes it as long as it says."""

    arrives_s: float
    chunks: list[int]
    seconds: float = 1.0
    lane: Lane = SCAN
    most: int = 1
    waits: list[float] = field(default_factory=list)
    ended_s: float = 0.0


class Simulation:
    """A worker and its queries in simulated time."""

    def __init__(self, worker, queries):
        self.worker, self.queries = worker, queries
        self.calls = {}
        self.begun = []
        """Chunk and number of the query, in the order in which they had their turns."""
        self.events, self.tie = [], itertools.count()
        for number, query in enumerate(queries):
            self.at(query.arrives_s, lambda now_s, number=number: self.arrive(number, now_s))
        self.at(0.0, self.look)

    def at(self, time_s, action):
        heapq.heappush(self.events, (time_s, next(self.tie), action))

    def arrive(self, number, now_s):
        call = self.worker.arrive(str(number), self.queries[number].lane, self.queries[number].chunks)
        self.calls[call] = number
        self.ask(call, now_s)

    def ask(self, call, now_s, ended=None):
        """Who has a turn tries to have another one, who has none waits."""
        if call.waiting:
            granted = self.worker.want(call, self.queries[self.calls[call]].most, now_s, ended)
            if len(call.turns) > (call in granted):
                call.most = 0
            self.take_up(granted, now_s)
        elif ended is not None:
            self.take_up(self.worker.end(ended, now_s), now_s)

    def take_up(self, granted, now_s):
        for call in granted:
            query = self.queries[self.calls[call]]
            query.waits.append(now_s - call.since_s)
            turn = self.worker.take(call)
            self.begun += [(query.chunks[place], self.calls[call]) for place in turn.tasks]
            self.at(now_s + query.seconds * len(turn.tasks), lambda now_s, turn=turn: self.end(turn, now_s))
        for call in granted:
            self.ask(call, now_s)

    def end(self, turn, now_s):
        self.ask(turn.call, now_s, turn)
        if not turn.call.waiting and not turn.call.turns:
            self.queries[self.calls[turn.call]].ended_s = now_s
            self.take_up(self.worker.leave(turn.call, now_s), now_s)

    def look(self, now_s):
        self.take_up(self.worker.grant(now_s), now_s)
        if self.events:
            self.at(now_s + 0.5, self.look)


def simulate(worker, queries, check=lambda _: None):
    """Run queries to their end; return (chunk, number of the query), in the order in which they were begun."""
    simulation = Simulation(worker, queries)
    while simulation.events:
        now_s, _, action = heapq.heappop(simulation.events)
        action(now_s)
        check(simulation)
    return simulation.begun


def readings(begun, cached=2):
    """Count how often a chunk is read from disk, if the pages of so many chunks fit into the cache."""
    cache, count = [], 0
    for chunk, _ in begun:
        if chunk in cache:
            cache.remove(chunk)
        else:
            count += 1
        cache = [*cache[-cached + 1 :], chunk]
    return count


def test_scans_that_come_together_read_each_chunk_once():
    queries = [Query(0.0, list(range(100))) for _ in range(10)]
    begun = simulate(scheduler(), queries)
    assert len(begun) == 1000
    # The first one has begun with chunk 0 when the others come; they read it at the end.
    assert readings(begun) == 101


def test_scans_of_different_speed_and_of_different_parts_share_most_of_what_they_read():
    queries = [Query(0.0, list(range(number, 100 + 3 * number)), seconds=1 + number / 10) for number in range(10)]
    begun = simulate(scheduler(), queries)
    assert readings(begun, cached=4) < 1.2 * 127


def test_a_scan_that_comes_later_joins_where_the_sweep_is_and_gets_the_rest_on_the_way_back():
    begun = simulate(scheduler(), [Query(0.0, list(range(50))), Query(10.0, list(range(50)))])
    later = [chunk for chunk, number in begun if number == 1]
    start = later[0]
    assert 15 < start < 25
    assert later == [*range(start, 50), *reversed(range(start))]
    assert readings(begun) == 50 + start


def test_the_next_scan_begins_with_what_was_read_last():
    begun = simulate(scheduler(), [Query(100.0 * number, list(range(50)), most=3) for number in range(4)])
    assert readings(begun[:50], cached=30) == 50
    assert readings(begun, cached=30) == 50 + 3 * 20
    assert all(sorted(chunk for chunk, number in begun if number == each) == list(range(50)) for each in range(4))


def test_one_scan_with_thousands_of_chunks_does_not_block_another():
    queries = [Query(0.0, list(range(5000))), Query(5.0, list(range(3000, 3020)))]
    simulate(scheduler(), queries)
    assert queries[1].ended_s - 5.0 < 21 * (PATIENCE_S + IN_ORDER_TURNS)
    assert queries[0].ended_s < 2600


def test_the_interactive_lane_is_served_whatever_is_scanned():
    scans = [Query(0.0, list(range(200)), seconds=5.0) for _ in range(20)]
    cones = [Query(10.0 + number / 10, [number], seconds=0.01, lane=INTERACTIVE) for number in range(200)]
    simulate(scheduler(), [*scans, *cones])
    assert all(query.ended_s - query.arrives_s < 0.02 for query in cones)


def test_what_is_too_slow_for_the_interactive_lane_is_demoted_and_not_killed():
    worker = scheduler()
    slow = [Query(0.0, list(range(6)), seconds=30.0, lane=INTERACTIVE) for _ in range(4)]
    quick = [Query(20.0 + number, [number], seconds=0.01, lane=INTERACTIVE) for number in range(50)]
    scan = Query(0.0, list(range(20)), seconds=1.0)
    begun = simulate(worker, [*slow, *quick, scan])
    assert Counter(number for _, number in begun) == Counter(
        {**dict.fromkeys(range(4), 6), **dict.fromkeys(range(4, 54), 1), 54: 20}
    )
    assert max(query.ended_s - query.arrives_s for query in quick) < 0.02
    assert worker.counts[INTERACTIVE].slow >= 4
    assert scan.ended_s < 100


def test_who_is_demoted_waits_among_the_scans_with_its_other_chunks():
    worker = scheduler()
    call = worker.arrive("q", INTERACTIVE, [1, 2, 3])
    assert worker.want(call, 1, 0.0) == [call]
    turn = worker.take(call)
    assert not turn.aside
    worker.grant(1.1)
    assert (call.lane, turn.aside, worker.chunks_waiting(SCAN), worker.turns(INTERACTIVE)) == (SCAN, True, 2, [])
    worker.want(call, 1, 1.2)
    assert worker.take(call).lane is SCAN


def test_only_so_many_turns_go_on_beside_the_slots():
    worker = scheduler(slots=1, each=1, turn_s=10.0, most_aside=2)
    calls = [worker.arrive(name, SCAN, [1]) for name in "abcd"]
    for now_s, call in zip((0.0, 11.0, 22.0, 33.0), calls, strict=True):
        worker.want(call, 1, now_s)
    assert [bool(call.turns) for call in calls] == [True, True, True, False]
    assert worker.end(calls[0].turns[0], 34.0) == [calls[3]]


def test_a_task_is_passed_over_for_a_bounded_time():
    """Short scans of one chunk keep coming, and would keep the sweep at that chunk for ever."""
    crowd = [Query(number / 2, [1], seconds=1.0) for number in range(1000)]
    alone = Query(1.0, [2, 3, 4], seconds=1.0)
    worker = scheduler()
    simulate(worker, [*crowd, alone])
    turns_s = 0.5  # two slots, a second each
    assert max(alone.waits) <= PATIENCE_S + turns_s * (IN_ORDER_TURNS + 1)
    assert alone.ended_s < 100


def test_chunks_in_a_row_share_a_turn():
    begun = simulate(scheduler(slots=1), [Query(0.0, list(range(10)), most=4), Query(0.0, list(range(10)), most=1)])
    assert [chunk for chunk, number in begun if number == 1] == list(range(10))
    assert readings(begun, cached=6) == 10


def test_cancel_takes_all_calls_of_a_query_and_no_others():
    worker = scheduler(slots=1)
    running, other, waiting = (worker.arrive(name, SCAN, [1, 2]) for name in ("q", "other", "q"))
    for call in (running, other, waiting):
        worker.want(call, 1, 0.0)
    assert worker.cancel("q") == [running, waiting]
    # A cancelled call keeps its slot until it has ended: PostgreSQL is still at work for it.
    assert worker.take(other) is None
    assert worker.cancel("q") == []
    assert worker.want(other, 1, 0.0) == []
    assert worker.leave(running, 1.0) == [other]
    assert worker.leave(waiting, 1.0) == []


def test_a_cancel_comes_before_its_query():
    worker = scheduler()
    assert worker.cancel("late") == []
    with pytest.raises(QueryCancelledError, match="late"):
        worker.arrive("late", SCAN, [1])


def test_only_so_many_cancels_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED_CANCELS", 2)
    worker = scheduler()
    for name in ("a", "b", "a", "c"):
        worker.cancel(name)
    worker.arrive("b", SCAN, [1])
    for name in "ac":
        with pytest.raises(QueryCancelledError):
            worker.arrive(name, SCAN, [1])


def test_too_many_scans_are_refused_and_look_ups_are_not():
    worker = scheduler(most_calls=1)
    first = worker.arrive("a", SCAN, [1])
    with pytest.raises(NodeUnavailableError, match="scan lane; try again later"):
        worker.arrive("b", SCAN, [1])
    worker.arrive("c", INTERACTIVE, [1])
    worker.leave(first, 0.0)
    worker.arrive("b", SCAN, [1])


def test_ending_twice_does_no_harm():
    worker = scheduler(slots=1)
    first, second, third = (worker.arrive(name, SCAN, [1]) for name in "abc")
    for call in (first, second, third):
        worker.want(call, 1, 0.0)
    (turn,) = first.turns
    assert worker.end(turn, 1.0) == [second]
    assert worker.end(turn, 1.0) == worker.leave(first, 1.0) == worker.leave(first, 1.0) == []


def test_a_lone_scan_uses_all_cores():
    for cores in (1, 2, 15):
        rules = lane_rules(Machine(2**30, cores).scans(None))
        assert rules[SCAN].slots == rules[SCAN].each == cores + 1
    assert Machine(2**30, 64).scans(None) == 16
    assert Machine(2**30, 64).scans(40) == 40


QUERIES = st.lists(
    st.builds(
        Query,
        arrives_s=st.floats(0, 20),
        chunks=st.lists(st.integers(-1, 30), min_size=1, max_size=12),
        seconds=st.sampled_from([0.01, 0.3, 3.0, 40.0]),
        lane=st.sampled_from(Lane),
        most=st.integers(1, 4),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(queries=QUERIES, slots=st.integers(1, 3), most_aside=st.integers(0, 3))
def test_every_chunk_has_its_turn_once_and_no_limit_is_passed(queries, slots, most_aside):
    worker = scheduler(slots=slots, each=slots, most_aside=most_aside)

    def check(simulation):
        for lane, rule in worker.rules.items():
            assert len(worker.turns(lane)) <= rule.slots
            # No slot stays empty while somebody could use it.
            wanting = [
                call
                for call in simulation.calls
                if call.lane is lane and call.wants and call.waiting and len(call.turns) < rule.each
            ]
            assert not wanting or len(worker.turns(lane)) == rule.slots
        aside = sum(len(worker.turns(lane, aside=True)) for lane in Lane)
        assert aside <= most_aside
        assert sum(len(worker.turns(lane)) for lane in Lane) + aside <= worker.most_turns

    begun = simulate(worker, queries, check)
    expected = Counter((chunk, number) for number, query in enumerate(queries) for chunk in query.chunks)
    assert Counter(begun) == expected
    assert all(not worker.turns(lane, aside=aside) for lane in Lane for aside in (False, True))
    assert worker.chunks_waiting(INTERACTIVE) == worker.chunks_waiting(SCAN) == 0


@settings(max_examples=50, deadline=None)
@given(
    crowd=st.lists(st.tuples(st.floats(0, 60), st.integers(0, 20)), min_size=1, max_size=60),
    chunk=st.integers(0, 20),
    arrives_s=st.floats(0, 30),
)
def test_nobody_starves(crowd, chunk, arrives_s):
    """Whatever else is asked: after its patience, each eighth turn goes to whoever has waited longest."""
    worker = scheduler(slots=1, each=1)
    alone = Query(arrives_s, [chunk], seconds=0.5)
    simulate(worker, [*(Query(time_s, [at], seconds=0.5) for time_s, at in crowd), alone])
    assert max(alone.waits) <= PATIENCE_S + 0.5 * (IN_ORDER_TURNS + 1) * (
        1 + len([1 for time_s, _ in crowd if time_s <= arrives_s])
    )


def test_a_query_has_no_more_statements_at_a_time_than_the_node_scans():
    """Else its share of temporary space would be too large."""
    assert all(rule.each <= scans for scans in (1, 2, 5) for rule in lane_rules(scans).values())

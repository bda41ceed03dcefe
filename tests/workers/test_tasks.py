"""The state machine of running calls, without threads."""

import pytest

from qserv.errors import NodeUnavailableError, QueryCancelledError
from workers import tasks
from workers.tasks import CallState, Tasks


def test_calls_run_up_to_the_limit_and_then_wait_in_order():
    registry = Tasks(max_running=2, max_waiting=2)
    calls = [registry.arrive(name) for name in "abcd"]
    assert [call.state for call in calls] == [CallState.RUNNING] * 2 + [CallState.WAITING] * 2
    registry.end(calls[1])
    assert [call.state for call in calls[2:]] == [CallState.RUNNING, CallState.WAITING]
    registry.end(calls[0])
    assert calls[3].state is CallState.RUNNING
    assert (registry.running, registry.waiting) == (2, 0)


def test_too_many_waiting_are_refused_and_leave_no_trace():
    registry = Tasks(max_running=1, max_waiting=1)
    first = registry.arrive("a")
    registry.arrive("b")
    with pytest.raises(NodeUnavailableError):
        registry.arrive("c")
    registry.end(first)
    assert registry.arrive("c").state is CallState.WAITING


def test_cancel_takes_all_calls_of_a_query_and_no_others():
    registry = Tasks(max_running=2, max_waiting=5)
    running, other, waiting = (registry.arrive(name) for name in ("q", "other", "q"))
    assert registry.cancel("q") == [running, waiting]
    assert other.state is CallState.RUNNING
    # A cancelled call keeps its place until it has ended: PostgreSQL is still at work for it.
    assert (registry.running, registry.waiting) == (2, 0)
    assert registry.cancel("q") == []
    registry.end(running)
    registry.end(waiting)
    assert registry.running == 1


def test_a_cancelled_call_that_waited_never_runs():
    registry = Tasks(max_running=1, max_waiting=5)
    first, second = registry.arrive("a"), registry.arrive("b")
    registry.cancel("b")
    registry.end(first)
    assert second.state is CallState.CANCELLED
    assert registry.running == 0


def test_a_cancel_comes_before_its_query():
    registry = Tasks(max_running=1, max_waiting=1)
    assert registry.cancel("late") == []
    with pytest.raises(QueryCancelledError, match="late"):
        registry.arrive("late")


def test_only_so_many_cancels_are_remembered(monkeypatch):
    monkeypatch.setattr(tasks, "REMEMBERED_CANCELS", 2)
    registry = Tasks(max_running=9, max_waiting=0)
    for name in ("a", "b", "a", "c"):
        registry.cancel(name)
    assert registry.arrive("b").state is CallState.RUNNING
    for name in "ac":
        with pytest.raises(QueryCancelledError):
            registry.arrive(name)


def test_ending_twice_does_no_harm():
    registry = Tasks(max_running=1, max_waiting=1)
    first, second, third = registry.arrive("a"), registry.arrive("b"), None
    registry.end(first)
    third = registry.arrive("c")
    registry.end(first)
    assert (second.state, third.state) == (CallState.RUNNING, CallState.WAITING)

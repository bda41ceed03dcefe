"""What waits for a reader: in order, bounded, and let go of when it is closed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from czar.handover import Handover
from tests.support.waiting import PATIENCE_S


def test_the_reader_takes_all_that_waits_in_its_order():
    handover = Handover(most=10, most_bytes=100)
    assert all(handover.put(number) for number in range(5))
    assert list(handover.take()) == [0, 1, 2, 3, 4]
    handover.put(5)
    assert list(handover.take()) == [5]


@pytest.mark.parametrize("limits", [{"most": 2, "most_bytes": 1000}, {"most": 100, "most_bytes": 20}])
def test_who_gives_more_than_may_wait_is_held_until_the_reader_has_done_with_what_it_took(limits):
    handover = Handover(**limits)
    handover.put("a", 10)
    handover.put("b", 10)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(handover.put, "c", 10)
        assert list(handover.take()) == ["a", "b"]
        time.sleep(0.05)
        assert not held.done()
        assert list(handover.take()) == ["c"]
        assert held.result(PATIENCE_S)


def test_all_that_are_held_come_in_their_turn():
    handover = Handover(most=3, most_bytes=1000)
    with ThreadPoolExecutor(20) as threads:
        given = [threads.submit(handover.put, number, 200 * (number % 3)) for number in range(20)]
        found = []
        while len(found) < 20:
            found += handover.take()
        assert all(each.result(5) for each in given)
    assert sorted(found) == list(range(20))


def test_small_ones_count_by_their_number_and_large_ones_by_their_bytes():
    handover = Handover(most=10, most_bytes=1000)  # each counts for 50 at the least
    with ThreadPoolExecutor(1) as threads:
        assert all(handover.put(number, 1) for number in range(8))
        assert handover.put(8, 550)
        held = threads.submit(handover.put, 9, 101)
        assert list(handover.take()) == list(range(9))
        assert not held.done()
        assert list(handover.take()) == [9]
        assert held.result(5)


def test_one_may_always_wait_however_large():
    handover = Handover(most=4, most_bytes=10)
    assert handover.put("large", 1000)
    assert list(handover.take()) == ["large"]


def test_closing_wakes_everybody_and_returns_what_is_left():
    handover = Handover(most=1, most_bytes=10)
    handover.put("left")
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(handover.put, "late")
        assert list(handover.close()) == ["left"]
        assert not held.result(PATIENCE_S)
    assert not handover.put("later")
    assert not handover.take()


@pytest.mark.parametrize("_attempt", range(50))
def test_what_is_given_while_it_is_closed_is_refused_or_returned(_attempt):
    handover = Handover(most=1000, most_bytes=10**6)
    with ThreadPoolExecutor(4) as threads:
        given = [threads.submit(lambda first=first: [handover.put(first + step) for step in range(50)]) for first in (0, 50, 100)]
        found = threads.submit(handover.close).result(5)
        taken_in = [50 * place + step for place, each in enumerate(given) for step, was in enumerate(each.result(5)) if was]
    assert sorted(found) == taken_in
    assert not handover.take()


def test_a_reader_that_waits_is_woken():
    handover = Handover(most=1, most_bytes=10)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(handover.take)
        threading.Timer(0.02, handover.put, ("late",)).start()
        assert list(waiting.result(PATIENCE_S)) == ["late"]


def test_all_of_many_threads_comes_once():
    handover = Handover(most=8, most_bytes=10**9)
    with ThreadPoolExecutor(20) as threads:
        given = [
            threads.submit(lambda first=first: [handover.put(first + step) for step in range(50)]) for first in range(0, 1000, 50)
        ]
        found = []
        while len(found) < 1000:
            found += handover.take()
        assert all(all(each.result(PATIENCE_S)) for each in given)
    assert sorted(found) == list(range(1000))

"""Threads that wait for the next work, and how many of them do."""

import threading
from queue import SimpleQueue

from czar.kept_threads import IDLE, KeptThreads
from tests.support.waiting import PATIENCE_S, until


def test_all_run_at_once_and_some_are_kept_for_what_comes_next():
    threads = KeptThreads(2)
    together = threading.Barrier(6)
    ran = SimpleQueue()

    def work():
        ran.put((threading.current_thread(), threading.current_thread().name))
        together.wait(PATIENCE_S)

    for place in range(5):
        threads.start(f"work-{place}", work)
    found = dict(ran.get(timeout=PATIENCE_S) for _ in range(5))
    assert sorted(found.values()) == [f"work-{place}" for place in range(5)]
    together.wait(PATIENCE_S)
    until(lambda: [thread.name for thread in found if thread.is_alive()] == [IDLE] * 2)
    threads.start("later", lambda: ran.put(threading.current_thread()))
    assert ran.get(timeout=PATIENCE_S) in found

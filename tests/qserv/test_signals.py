"""An event that a signal sets."""

import os
import signal
import threading

from qserv.signals import setting


def test_a_signal_sets_an_event_whoever_holds_its_lock():
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, setting(event))
    try:
        with event._cond:  # noqa: SLF001 (as who begins to wait holds it)
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.sigtimedwait([], 0)  # the handler has run when another call has begun
        assert event.wait(60)
    finally:
        signal.signal(signal.SIGUSR1, before)

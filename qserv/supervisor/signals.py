"""Stop signals as an event, so that a launcher ends where it waits and never half-way through starting a process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qserv.signals import setting

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, ``kill`` and service managers, a terminal that was closed."""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Give an event that the first stop signal sets, while the block lasts; further signals change nothing.

    Pass it to `embedded_cluster` as ``cancelled`` and wait for it. For the main thread only.
    """
    stop = threading.Event()
    before = {number: signal.signal(number, setting(stop)) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

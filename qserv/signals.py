"""Signals as events."""

import _thread
import threading
from collections.abc import Callable
from types import FrameType


def setting(event: threading.Event) -> Callable[[int, FrameType | None], None]:
    """Return a handler of signals that sets an event.

    Another thread does it: the one that is interrupted may hold the event's lock, as while it begins to wait, and would wait for
    itself.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(event.set, ())  # `threading` has locks of its own that may be held

    return handler

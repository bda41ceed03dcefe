"""Waiting for what a test is to see: never for a time, because nobody knows how fast the machine is."""

import time

PATIENCE_S = 120.0
"""How long a test waits for what must come. It costs nothing where it comes, and a machine that has ten times too much to do is
given ten times as long."""


def until(holds, within_s=PATIENCE_S):
    """Return once something holds; fail if it does not come to that."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, f"it did not come to that within {within_s:.0f} s"
        time.sleep(0.02)
    return found

"""How long to wait before a dead process is started again. Pure: the caller brings the clock."""

from dataclasses import dataclass

FIRST_DELAY_S = 0.2
"""One crash should not be felt: a query that is repeated finds the worker back."""

LONGEST_DELAY_S = 30.0
"""A process that cannot live is tried for ever, but costs next to nothing."""

STEADY_S = 60.0
"""A process that lived this long is healthy: its next crash counts as the first."""


@dataclass(frozen=True)
class Backoff:
    """Crashes in a row, and when the process was last started (monotonic seconds)."""

    crashes: int = 0
    started_s: float = 0.0

    def started(self, now_s: float) -> "Backoff":
        """Return the state after a start."""
        return Backoff(self.crashes, now_s)

    def crashed(self, now_s: float) -> "Backoff":
        """Return the state after the process ended by itself."""
        steady = now_s - self.started_s >= STEADY_S
        return Backoff(1 if steady else self.crashes + 1, self.started_s)

    @property
    def delay_s(self) -> float:
        """How long to wait before the next start: doubles with each crash in a row."""
        if self.crashes == 0:
            return 0.0
        # The exponent is bounded so that thousands of crashes do not overflow.
        return min(FIRST_DELAY_S * 2.0 ** min(self.crashes - 1, 30), LONGEST_DELAY_S)

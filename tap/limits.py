"""Limits that the service keeps, and shows in its capabilities."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Rows of an answer: without MAXREC at most ``default_rows``, with it at most ``hard_rows``; seconds of a query."""

    default_rows: int
    hard_rows: int
    duration_s: float

    def rows(self, maxrec: int | None) -> int:
        """Return how many rows an answer to a request with this MAXREC may have."""
        return min(self.default_rows if maxrec is None else maxrec, self.hard_rows)

"""How many chunks one statement asks. No I/O."""

import math
from dataclasses import dataclass
from typing import Final

MOST_CHUNKS: Final = 64
"""Chunks of any statement: its plan and its locks must stay small."""

MOST_CHARACTERS: Final = 1 << 18
"""Length of a statement for several chunks. A template may have thousands of pixel ranges, and is repeated for every chunk."""

STATEMENT_S: Final = 0.1
"""What a statement may take. A statement costs 1 to 2 ms beside PostgreSQL's work (worker, network, czar): 2 % of that."""

STATEMENT_BYTES: Final = 1 << 18
"""What a statement may answer with: its chunks end together, and are held until then."""


@dataclass
class Grouping:
    """Decides from the chunks that were answered how many the next statement asks.

    Attributes
    ----------
    in_flight
        Statements that run at a time; each gets its share of what is left.
    template_characters
        Length of the SQL for one chunk.
    """

    in_flight: int
    template_characters: int
    _most: int = 1
    """Chunks of a statement, by time and size of the last ones. The first is for one: how long a chunk takes is not known yet."""

    def chunks(self, left: int, running: int = 0) -> int:
        """Return how many of the chunks that are left the next statement asks, while statements for others run."""
        by_length = MOST_CHARACTERS // self.template_characters
        share = min(left, math.ceil((left + running) / self.in_flight))
        return max(1, min(self._most, by_length, share))

    def learn(self, chunks: int, seconds: float, size_bytes: int) -> None:
        """Take note of a statement: chunks it asked, time since the one before ended, size of its answer."""
        by_time = STATEMENT_S / self.in_flight / max(seconds / chunks, 1e-9)
        by_size = STATEMENT_BYTES / max(size_bytes / chunks, 1)
        self._most = int(min(by_time, by_size, MOST_CHUNKS))

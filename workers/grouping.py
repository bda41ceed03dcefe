"""How many chunks one statement asks, and how many statements run at a time. No I/O."""

import math
from dataclasses import dataclass
from typing import Final

MOST_CHUNKS: Final = 64
"""Chunks of any statement: its plan and its locks must stay small."""

MOST_TABLES: Final = 256
"""Physical tables of any statement of several chunks: each takes a lock, and as many as it has indexes. A chunk to which rows were
appended has several for each table."""

MOST_CHARACTERS: Final = 1 << 18
"""Length of a statement for several chunks. A template may have thousands of pixel ranges, and is repeated for every chunk."""

STATEMENT_S: Final = 0.1
"""What a statement may take. A statement costs 1 to 2 ms beside PostgreSQL's work (worker, network, czar): 2 % of that."""

SHARED_STATEMENT_S: Final = 0.02
"""The same while others scan as well: the pages of its chunks must still be in the cache when the last one of them reads them."""

STATEMENT_BYTES: Final = 1 << 18
"""What a statement may answer with: its chunks end together, and are held until then."""

LARGE_BYTES: Final = 1 << 20
"""Of the answer of a chunk: handing it on takes longer than computing it."""

LARGE_IN_FLIGHT: Final = 2
"""Statements with large answers at a time: one is read while the next one is computed. More would only wait for the reader, and
keep others from their turns."""


@dataclass
class Grouping:
    """Decides from the chunks that were answered how many the next statement asks.

    Attributes
    ----------
    in_flight
        Statements that run at a time; each gets its share of what is left.
    template_characters
        Length of the SQL for one chunk.
    first
        Chunks of a statement before one was answered: so few that a single statement for all of them costs less than it takes.
    tables
        Physical tables of a chunk, at the most.
    """

    in_flight: int
    template_characters: int
    first: int = 1
    tables: int = 1
    _chunk_s: float = math.inf
    """Time of a chunk in the last statement; at first it is not known."""
    _chunk_bytes: float = 0.0

    @property
    def statements(self) -> int:
        """Statements that may run at a time."""
        return min(self.in_flight, LARGE_IN_FLIGHT) if self._chunk_bytes > LARGE_BYTES else self.in_flight

    def chunks(self, left: int, running: int = 0, *, alone: bool = True) -> int:
        """Return how many of the chunks that are left the next statement asks, while statements for others run.

        ``alone`` says that no other query may want to read the same chunks.
        """
        most_s = STATEMENT_S if alone else SHARED_STATEMENT_S
        by_time = most_s / self.in_flight / max(self._chunk_s, 1e-9)
        by_size = STATEMENT_BYTES / max(self._chunk_bytes, 1)
        by_length = min(MOST_CHARACTERS // self.template_characters, MOST_TABLES // self.tables)
        if self._chunk_s == math.inf:
            return max(1, min(int(self.first * most_s / STATEMENT_S), by_length, left, MOST_CHUNKS))
        share = min(left, math.ceil((left + running) / self.in_flight))
        return max(1, min(int(by_time), int(by_size), by_length, share, MOST_CHUNKS))

    def learn(self, chunks: int, seconds: float, size_bytes: int) -> None:
        """Take note of a statement: chunks it asked, time since the one before ended, size of its answer."""
        self._chunk_s, self._chunk_bytes = seconds / chunks, size_bytes / chunks

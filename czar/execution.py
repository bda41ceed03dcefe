"""A query that is under way: how far it is, and how to stop it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from czar.limits import Ticket
from czar.measures import PartRun
from qserv.metadata.czars import Progress


class Part(Protocol):
    """A step of a query on the nodes."""

    @property
    def chunks_done(self) -> int:
        """Chunks whose rows are here."""

    @property
    def chunks_total(self) -> int:
        """Chunks that are asked."""

    def close(self) -> None:
        """Stop it, here and on the nodes; does nothing if it has ended."""


@dataclass(eq=False)
class Execution:
    """A query from its submission to its end. Threads may share it."""

    query_id: UUID
    user: str
    dialect: str
    text: str
    catalogue_version: int = 0
    """It is planned with this version of the catalogue, or a later one."""
    submitted: datetime = field(default_factory=lambda: datetime.now(UTC))
    _parts: list[Part] = field(default_factory=list)
    _cancelled: bool = False
    ticket: Ticket | None = None
    """Its place among the queries that run."""
    measured: PartRun | None = None
    """What its parts took, once it runs."""
    rows: int = 0
    size_bytes: int = 0
    """Of its answer, so far."""

    def watch(self, part: Part) -> None:
        """Count a step of the query, and stop it when the query is cancelled, or is already."""
        self._parts.append(part)
        if self._cancelled:
            part.close()

    def count(self, rows: int, size_bytes: int) -> None:
        """Count rows of the answer that have come."""
        self.rows += rows
        self.size_bytes += size_bytes

    def cancel(self) -> None:
        """Stop the query: whoever waits for its rows gets a `QueryCancelledError`."""
        self._cancelled = True
        for part in self._parts:
            part.close()

    @property
    def progress(self) -> Progress:
        """How far the query is: a query in several steps learns of later chunks as it goes."""
        done = sum(part.chunks_done for part in self._parts)
        return Progress(self.query_id, done, sum(part.chunks_total for part in self._parts), self.rows, self.size_bytes)


Running = Mapping[UUID, Execution]
"""What a czar answers now, by query id."""

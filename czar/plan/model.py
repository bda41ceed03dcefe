"""A plan: what runs on the nodes, and how the answers become one. Frozen; made by `czar.plan.build`, run by `czar.session`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from czar.analyse.query import Access, Output
from czar.catalogue import Catalogue, TableEntry
from czar.snapshot import Snapshot

PROTOTYPE_TASK = -1
"""Chunk number of the task that runs on the empty prototypes, so that a query without chunks still has columns and types."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A place in a chunk query for one physical relation."""

    name: str
    entry: TableEntry
    columns: str = ""
    """Those that are read, as a statement lists them."""
    overlap: bool = False


@dataclass(frozen=True, eq=False)
class ChunkStep:
    """SQL with slots, and the chunks to run it on."""

    template: str
    slots: tuple[Slot, ...]
    chunks: tuple[int, ...]
    """Empty where the query touches replicated tables alone, or no chunk can match."""
    keys: Mapping[int, Sequence[int]] | None = None
    """The keys that each chunk is asked for, where the SQL has a slot for them."""

    def relations(self, snapshot: Snapshot) -> dict[str, list[str]]:
        """Return the physical relations of each slot, one for each task (`Plan.tasks`): without chunks, the empty prototypes."""
        chunks = np.array(self.chunks or (PROTOTYPE_TASK,), dtype=np.int64)
        return {slot.name: snapshot.relations(slot.entry, chunks, slot.columns, overlap=slot.overlap) for slot in self.slots}


@dataclass(frozen=True, eq=False)
class Plan:
    """How a query is answered."""

    catalogue: Catalogue
    snapshot: Snapshot
    outputs: tuple[Output, ...]
    family: str | None
    """Family whose nodes are asked; None for replicated tables alone."""
    step: ChunkStep | None = None
    known_row: tuple[int, ...] | None = None
    """The answer, where the metadata database has it already."""
    metadata_query: str | None = None
    """PostgreSQL SQL for the metadata database, whose rows are the answer."""
    combine: str | None = None
    """DuckDB SQL over relation ``partials``, the rows of all chunks."""
    wide: tuple[tuple[str, str], ...] = ()
    """Columns of ``combine`` that are numeric where a column of ``partials`` is a bigint; its other sums are bigint."""
    finish: str | None = None
    """PostgreSQL SQL over table ``merged``, the rows of ``combine``: expressions have one engine's meaning."""
    carried: tuple[int, ...] = ()
    """Places of the columns of a step that are digits of a numeric where they are binary."""
    offset: int = 0
    limit: int | None = None
    """Rows to leave out and to return, where neither `combine` nor `finish` does it."""
    notes: tuple[str, ...] = ()
    rows: int = 0
    """Rows in the chunks to be read: the most that the query can look at."""
    access: Access = Access.SCAN

    @property
    def tasks(self) -> tuple[int, ...]:
        """Chunks of the step, or the one task on prototypes."""
        if self.step is None:
            return ()
        return self.step.chunks or (PROTOTYPE_TASK,)

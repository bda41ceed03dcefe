"""Runs or segments -> chunk tables: merged, with columns about neighbours, copied, indexed and measured, a few at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final, Protocol

import pyarrow as pa

from qserv.ids import REPLICATED_CHUNK, ChunkId
from schema.model import Table, TableRole
from schema.types import arrow_schema, row_schema
from workers.protocol import PARTS
from workers.runs.files import RunFiles
from workers.runs.merging import SortedRows
from workers.runs.neighbours import Neighbours, neighbours_of, with_columns
from workers.runs.statistics import Ranges
from workers.table_actions import BuildTable, BuiltChunk

BUILDS: Final = 2
"""Chunks of a table that are made at a time: while one waits for its commit the other fills PostgreSQL; more only take memory."""

Load = Callable[[ChunkId | None, str, pa.Schema, Iterator[pa.RecordBatch]], int]
"""Fills the table of a chunk (None: the replicated table) and a part with rows of a schema; returns their number."""


class ChunkRows(Protocol):
    """Rows of one part of a table, of some chunks."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""

    def has(self, chunk: ChunkId, /) -> bool:
        """Whether a chunk has rows."""

    def read(self, chunk: ChunkId, columns: list[str] | None = None, /) -> Iterator[pa.RecordBatch]:
        """Yield a chunk's rows in ``_healpix_29`` order, which is the same whatever columns are asked for."""


def build_chunk(  # noqa: PLR0913 (which chunk, of what, made by what)
    table: Table, chunk: ChunkId, base: ChunkRows, overlap: ChunkRows, load: Load, *, whole: bool = False
) -> BuiltChunk:
    """Make the tables of a chunk.

    Parameters
    ----------
    whole
        Whether it is a replicated table, which is made without rows as well: it may have had some.
    """
    neighbours: Neighbours | None = None
    if table.role is TableRole.DIRECTOR:
        neighbours = neighbours_of(table, base, overlap, chunk)
    ranges, counts = Ranges(base.schema), dict.fromkeys(PARTS, 0)
    read = {"base": ranges.watched(base.read(chunk)), "overlap": overlap.read(chunk)}
    for part, rows in zip(PARTS, (base, overlap), strict=True):
        if rows.has(chunk) or (whole and part == "base"):
            batches = read[part]
            if neighbours is not None:
                batches = with_columns(batches, neighbours.columns[part])
            counts[part] = load(None if chunk == REPLICATED_CHUNK else chunk, part, arrow_schema(table), batches)
    made = BuiltChunk(chunk, counts["base"], counts["overlap"], ranges.statistics())
    return replace(made, nearest_deg=neighbours.nearest_deg, friends_deg=neighbours.friends_deg) if neighbours else made


@dataclass(frozen=True)
class Build:
    """A table to be made of the rows of a node."""

    table: Table
    base: SortedRows
    overlap: SortedRows
    load: Load
    makes_whole: bool
    """Whether a replicated table is made, rather than a segment of it."""

    @classmethod
    def of(cls, action: BuildTable, table: Table, files: RunFiles, load: Load) -> "Build":
        """Open the runs.

        Raises
        ------
        IngestError
            One of them is damaged.
        """
        schema, place = row_schema(table), (action.transaction, action.table, action.runs)
        base, overlap = (SortedRows(schema, files.open(*place, part)) for part in PARTS)
        return cls(table, base, overlap, load, makes_whole=not (table.partitioned or action.segment))

    def chunks(self) -> Iterator[BuiltChunk]:
        """Make all chunks, and yield each that is made."""
        rows, near = self.base.row_counts, self.overlap.row_counts
        # The largest first: so nobody is left with a large one when the others are through.
        found = sorted({*rows, *near}, key=lambda chunk: rows.get(chunk, 0) + near.get(chunk, 0), reverse=True)
        if self.makes_whole:
            found = [REPLICATED_CHUNK]
        with ThreadPoolExecutor(BUILDS, "build") as pool:
            made = [pool.submit(self._make, chunk) for chunk in found]
            try:
                for future in as_completed(made):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _make(self, chunk: ChunkId) -> BuiltChunk:
        return build_chunk(self.table, chunk, self.base, self.overlap, self.load, whole=self.makes_whole)

"""Runs -> chunk tables: merged, with the columns about neighbours, copied, indexed and measured, a few chunks at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from qserv.ids import REPLICATED_CHUNK, ChunkId
from schema.model import Table, TableRole
from schema.types import arrow_schema, row_schema
from workers.protocol import PARTS, BuildTable, BuiltChunk
from workers.runs.files import RunFiles
from workers.runs.merging import SortedRows
from workers.runs.neighbours import Neighbours, neighbours_of, with_columns
from workers.runs.statistics import Ranges

BUILDS: Final = 2
"""Chunks of a table that are made at a time: while one waits for its commit the other fills PostgreSQL; more only take memory."""

Load = Callable[[ChunkId | None, str, pa.Schema, Iterator[pa.RecordBatch]], int]
"""Fills the table of a chunk (None: the replicated table) and a part with rows of a schema; returns their number."""


@dataclass(frozen=True)
class Build:
    """A table to be made of the rows of a node."""

    table: Table
    base: SortedRows
    overlap: SortedRows
    load: Load

    @classmethod
    def of(cls, action: BuildTable, table: Table, files: RunFiles, load: Load) -> "Build":
        """Open the runs.

        Raises
        ------
        IngestError
            One of them is damaged.
        """
        schema, place = row_schema(table), (action.transaction, action.table, action.runs)
        return cls(table, SortedRows(schema, files.open(*place, "base")), SortedRows(schema, files.open(*place, "overlap")), load)

    def chunks(self) -> Iterator[BuiltChunk]:
        """Make all chunks, and yield each that is made."""
        rows, near = self.base.row_counts, self.overlap.row_counts
        # The largest first: so nobody is left with a large one when the others are through.
        found = sorted({*rows, *near}, key=lambda chunk: rows.get(chunk, 0) + near.get(chunk, 0), reverse=True)
        if not self.table.partitioned:
            found = [REPLICATED_CHUNK]
        with ThreadPoolExecutor(BUILDS, "build") as pool:
            made = [pool.submit(self._make, chunk) for chunk in found]
            try:
                for future in as_completed(made):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _make(self, chunk: ChunkId) -> BuiltChunk:
        neighbours: Neighbours | None = None
        if self.table.role is TableRole.DIRECTOR:
            neighbours = neighbours_of(self.table, self.base, self.overlap, chunk)
        ranges, counts = Ranges(self.base.schema), dict.fromkeys(PARTS, 0)
        read = {"base": ranges.watched(self.base.read(chunk)), "overlap": self.overlap.read(chunk)}
        for part, rows in zip(PARTS, (self.base, self.overlap), strict=True):
            # A replicated table without rows is made nevertheless: it may have had some.
            if rows.has(chunk) or (part, chunk) == ("base", REPLICATED_CHUNK):
                batches = read[part]
                if neighbours is not None:
                    batches = with_columns(batches, neighbours.columns[part])
                counts[part] = self.load(None if chunk == REPLICATED_CHUNK else chunk, part, arrow_schema(self.table), batches)
        made = BuiltChunk(chunk, counts["base"], counts["overlap"], ranges.statistics())
        return replace(made, nearest_deg=neighbours.nearest_deg, friends_deg=neighbours.friends_deg) if neighbours else made

"""The rows of a chunk, from all runs that have some, in ``_healpix_29`` order.

Ranges of ``_healpix_29`` (halved until a range's rows fit in memory) are cut out of the chunk's slices of all runs and sorted, one
range after the other.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from partitioner.healpix import Pixels
from qserv.ids import ChunkId
from schema.model import HEALPIX_COLUMN
from workers.runs.files import RunFile
from workers.runs.taking import gathered

PIECE_BYTES = 16 * 1024 * 1024
"""Rows of one chunk that are merged at a time; several chunks are made at once, each with two or three copies."""

NO_PIXEL = -1
"""Sorts rows without position, which have NULL in ``_healpix_29``."""


@dataclass(frozen=True)
class SortedRows:
    """All rows of one part of a table on a node: of the chunks, or of their overlap.

    Attributes
    ----------
    schema
        Of the rows. Without ``_healpix_29``, as of a replicated table, rows come in the order of the runs.
    """

    schema: pa.Schema
    runs: Sequence[RunFile]

    @property
    def row_counts(self) -> dict[ChunkId, int]:
        """Rows of each chunk that has any."""
        if not self.runs:
            return {}
        chunks, places = np.unique(np.concatenate([run.chunks for run in self.runs]), return_inverse=True)
        rows = np.bincount(places, np.concatenate([np.diff(run.bounds) for run in self.runs])).astype(np.int64)
        return dict(zip(map(ChunkId, chunks.tolist()), rows.tolist(), strict=True))

    def has(self, chunk: ChunkId) -> bool:
        """Whether a chunk has rows."""
        return any(operator.lt(*run.slice(chunk)) for run in self.runs)

    def read(self, chunk: ChunkId, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield a chunk's rows in ``_healpix_29`` order, which is the same whatever columns are asked for."""
        runs = [run for run in self.runs if operator.lt(*run.slice(chunk))]
        if len(runs) == 1:
            yield from runs[0].read(chunk, columns)
            return
        read = None if columns is None else [*columns, *({HEALPIX_COLUMN} & set(self.schema.names) - set(columns))]
        parts = [_Part(batch, pixels(batch)) for run in runs for batch in run.read(chunk, read)]
        row_bytes = sum(part.rows.nbytes for part in parts) / sum(part.rows.num_rows for part in parts) if parts else 0
        for batch in _merge(parts, PIECE_BYTES / max(row_bytes, 1)):
            yield batch if columns is None else batch.select(columns)


@dataclass(frozen=True)
class _Part:
    """Rows of one chunk from one batch of a run, and their pixels, ascending."""

    rows: pa.RecordBatch
    pixels: Pixels

    def between(self, low: int, high: int) -> "_Part":
        """Return the rows with pixels in [low, high)."""
        start, end = np.searchsorted(self.pixels, [low, high])
        return _Part(self.rows.slice(start, end - start), self.pixels[start:end])


def _merge(parts: list[_Part], most_rows: float) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all parts in order of their pixels, so many of them sorted together."""
    parts = [part for part in parts if len(part.pixels)]
    if not parts:
        return
    low, high = min(int(part.pixels[0]) for part in parts), max(int(part.pixels[-1]) for part in parts) + 1
    if len(parts) == 1 or high - low == 1:
        for part in parts:
            yield part.rows
    elif sum(len(part.pixels) for part in parts) <= most_rows:
        order = np.argsort(np.concatenate([part.pixels for part in parts]), kind="stable")
        yield gathered([part.rows for part in parts], order)
    else:
        middle = (low + high) // 2
        yield from _merge([part.between(low, middle) for part in parts], most_rows)
        yield from _merge([part.between(middle, high) for part in parts], most_rows)


def pixels(rows: pa.Table | pa.RecordBatch) -> Pixels:
    """Return the pixels of rows; those of a replicated table have none, and stay in their order."""
    if HEALPIX_COLUMN not in rows.schema.names:
        return np.full(rows.num_rows, NO_PIXEL, dtype=np.int64)
    found: Pixels = pc.fill_null(rows.column(HEALPIX_COLUMN), NO_PIXEL).to_numpy()
    return found

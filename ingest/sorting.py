"""Rows of contributions, gathered in memory until they are a run, and sorted by chunk and ``_healpix_29``.

A run holds whole contributions, or a piece of a single one: so a contribution that fails takes only runs of its own with it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.chunking import ChunkedRows
from partitioner.healpix import Pixels
from qserv.ids import ChunkId, NodeId
from qserv.metadata.transactions import Contribution
from workers.runs.merging import pixels
from workers.runs.taking import gathered, taken

LARGEST_BATCH_BYTES = 8 * 1024 * 1024
"""Size of a record batch of a run, at most: a larger one delays."""

SMALLEST_BATCH_BYTES = 256 * 1024
"""Chunks with as many rows in a run have batches of their own, so that a node finds them in one place. Smaller ones share one: of a
few rows, what describes the columns would be longer than they are."""


@dataclass(frozen=True)
class SortedRows:
    """Rows of a run, of the chunks or of their overlap, by chunk and ``_healpix_29``.

    Attributes
    ----------
    chunks
        Of each row, shape (n,).
    slices
        Of some chunks, ascending, or of all, the places of the first row and behind the last.
    """

    rows: pa.RecordBatch
    chunks: Pixels
    slices: Mapping[ChunkId, tuple[int, int]]

    @classmethod
    def sort(cls, batches: Sequence[pa.RecordBatch], chunks: Sequence[Pixels], schema: pa.Schema) -> "SortedRows":
        """Sort rows; those of one chunk and pixel stay in their order."""
        none = pa.RecordBatch.from_pylist([], schema)
        of_rows = np.concatenate([np.empty(0, np.int64), *chunks])
        order = np.argsort(np.concatenate([pixels(rows) for rows in (none, *batches)]), kind="stable")
        # Rows may lie in chunks of other rows' pixels, as overlap and dependents do: chunks first, pixels within.
        order = order[np.argsort(of_rows[order], kind="stable")]
        found, starts = np.unique(of_rows[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        slices = dict(zip(map(ChunkId, found.tolist()), zip(starts.tolist(), ends, strict=False), strict=True))
        return cls(gathered([none, *batches], order), of_rows[order], slices)

    def of(self, chunks: Sequence[ChunkId]) -> "SortedRows":
        """Return the rows of some chunks, which are ascending."""
        return SortedRows(self.rows, self.chunks, {chunk: self.slices[chunk] for chunk in chunks})

    @property
    def ends(self) -> list[int]:
        """Of each chunk in `slices`, how many rows there are in it and in those before it."""
        return list(itertools.accumulate(end - start for start, end in self.slices.values()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the chunks in order, in batches that end where a chunk does, but where chunks are large, or small."""
        row_bytes = max(self.rows.nbytes, 1) / max(self.rows.num_rows, 1)
        most, least = (max(int(size / row_bytes), 1) for size in (LARGEST_BATCH_BYTES, SMALLEST_BATCH_BYTES))
        held: list[tuple[int, int]] = []
        count = 0
        for start, end in self.slices.values():
            for first in range(start, end, most):
                last = min(first + most, end)
                held.append((first, last))
                count += last - first
                if count >= least:
                    yield self._between(held)
                    held, count = [], 0
        if held:
            yield self._between(held)

    def _between(self, places: Sequence[tuple[int, int]]) -> pa.RecordBatch:
        """Return the rows in several ranges of places, ascending."""
        (start, _), (_, end) = places[0], places[-1]
        if sum(last - first for first, last in places) == end - start:
            return self.rows.slice(start, end - start)
        return taken(self.rows, np.concatenate([np.arange(first, last) for first, last in places]))


@dataclass(frozen=True)
class Run:
    """Rows of a table, of the chunks and of their overlap, and the contributions whose last rows are among them."""

    base: SortedRows
    overlap: SortedRows
    ended: tuple[Contribution, ...]

    def nodes(self, placement: Mapping[ChunkId, Sequence[NodeId]]) -> dict[NodeId, dict[str, SortedRows]]:
        """Return the parts of each node, as far as they have rows."""
        parts: dict[NodeId, dict[str, SortedRows]] = {}
        for part, rows in (("base", self.base), ("overlap", self.overlap)):
            of_nodes: dict[NodeId, list[ChunkId]] = {}
            for chunk in rows.slices:
                for node in placement[chunk]:
                    of_nodes.setdefault(node, []).append(chunk)
            for node, chunks in of_nodes.items():
                parts.setdefault(node, {})[part] = rows.of(chunks)
        return parts


@dataclass
class Unsorted:
    """Rows that become a run, and the contributions whose last rows are among them."""

    schema: pa.Schema
    pieces: list[ChunkedRows]
    ended: tuple[Contribution, ...]

    def sort(self) -> Run:
        """Give up the rows, sorted."""
        pieces, self.pieces = self.pieces, []
        return Run(
            SortedRows.sort([rows.batch for rows in pieces], [rows.chunks for rows in pieces], self.schema),
            SortedRows.sort([rows.overlap for rows in pieces], [rows.overlap_chunks for rows in pieces], self.schema),
            self.ended,
        )


class Gathered:
    """Rows that are not sent yet.

    Parameters
    ----------
    schema
        Of the rows.
    budget_bytes
        Size of a run. While it is sorted there are two copies of it in memory.
    """

    def __init__(self, schema: pa.Schema, budget_bytes: int) -> None:
        self._schema, self._budget_bytes = schema, budget_bytes
        self._pieces: list[ChunkedRows] = []
        self._bytes = 0
        self._ended: list[Contribution] = []
        self._whole = 0
        """Pieces that are of contributions that have ended."""

    def add(self, rows: ChunkedRows) -> None:
        """Take rows of a contribution."""
        if rows.batch.num_rows or rows.overlap.num_rows:
            self._pieces.append(rows)
            self._bytes += rows.batch.nbytes + rows.overlap.nbytes

    def end(self, contribution: Contribution) -> None:
        """Say that the rows since the last call, of this one or `take`, were the last ones of a contribution."""
        self._ended.append(contribution)
        self._whole = len(self._pieces)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._pieces and not self._ended

    @property
    def full(self) -> bool:
        """Whether the rows are a run."""
        return self._bytes >= self._budget_bytes

    def take(self) -> Unsorted:
        """Give up the rows of whole contributions, or else all there are."""
        # A contribution without rows ends without a piece: what is there then belongs to one that has not ended.
        count = self._whole if self._ended else len(self._pieces)
        pieces, self._pieces = self._pieces[:count], self._pieces[count:]
        ended, self._ended, self._whole = tuple(self._ended), [], 0
        self._bytes = sum(rows.batch.nbytes + rows.overlap.nbytes for rows in self._pieces)
        return Unsorted(self._schema, pieces, ended)

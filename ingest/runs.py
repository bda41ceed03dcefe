"""External sort of rows by chunk and ``_healpix_29``: sorted runs of bounded size, merged chunk by chunk.

A run is as many rows as the memory budget takes, sorted. All but a last one go to disk, one Arrow IPC file each, so that the number
of open files does not grow with the number of chunks. A chunk is then read as the merge of its slice of each run: ranges of
``_healpix_29`` (halved until a range's rows fit in memory) are cut out of all slices and sorted, one range after the other.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from partitioner.healpix import Pixels
from qserv.errors import StorageFullError
from qserv.ids import ChunkId
from schema.model import HEALPIX_COLUMN

RUN_BATCH_BYTES = 1024 * 1024
"""Size of a record batch on disk. Batches are mapped, not read: a smaller one saves nothing, a larger one delays the first rows."""

PIECE_BYTES = 16 * 1024 * 1024
"""Rows of one chunk that are merged at a time; several streams do so at once, each with two or three copies."""

NO_PIXEL = -1
"""Sorts rows without position, which have NULL in ``_healpix_29``."""


Slices = dict[ChunkId, tuple[int, int]]
"""Places (start, end) of each chunk's rows in a run."""


class _Run(Protocol):
    """Sorted rows."""

    slices: Slices

    def read(self, start: int, end: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield rows ``start`` to ``end`` in order, in batches."""


@dataclass
class _MemoryRun:
    """Rows in memory, and the order that sorts them."""

    slices: Slices
    batch_rows: int
    rows: pa.Table
    order: Pixels

    def read(self, start: int, end: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        rows = self.rows if columns is None else self.rows.select(columns)
        for first in range(start, end, self.batch_rows):
            taken = rows.take(pa.array(self.order[first : min(first + self.batch_rows, end)]))
            yield from taken.combine_chunks().to_batches()


@dataclass
class _DiskRun:
    """Rows in an Arrow IPC file. What is read is mapped until its last batch is forgotten, so that it never adds up."""

    slices: Slices
    batch_rows: int
    path: Path

    def read(self, start: int, end: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self.path)) as source, ipc.open_file(source) as file:
            for number in range(start // self.batch_rows, -(-end // self.batch_rows)):
                first = number * self.batch_rows
                low, high = max(start - first, 0), min(end - first, self.batch_rows)
                batch = file.get_batch(number).slice(low, high - low)
                yield batch if columns is None else batch.select(columns)


class Runs:
    """Rows to be read back chunk by chunk, in ``_healpix_29`` order.

    Parameters
    ----------
    directory
        Made when first needed, removed by `close`.
    schema
        Of the rows. Without ``_healpix_29``, as of a replicated table, a chunk's rows come back in the order of `add`.
    budget_bytes
        Size of a run. While it is sorted there are two copies of it in memory.
    """

    def __init__(self, directory: Path, schema: pa.Schema, budget_bytes: int) -> None:
        self.schema = schema
        self._directory = directory
        self._budget_bytes = budget_bytes
        self._batches: list[pa.RecordBatch] = []
        self._chunks: list[Pixels] = []
        self._bytes = 0
        self._runs: list[_Run] = []

    def add(self, batch: pa.RecordBatch, chunks: Pixels) -> None:
        """Take rows, and the chunk of each, shape (n,).

        Raises
        ------
        StorageFullError
            The directory's disk is full.
        """
        if not batch.num_rows:
            return
        self._batches.append(batch)
        self._chunks.append(chunks)
        self._bytes += batch.nbytes
        if self._bytes >= self._budget_bytes:
            self._runs.append(self._write(self._sort()))

    def seal(self) -> None:
        """Sort what was added last; it stays in memory. Nothing is added afterwards."""
        if self._batches:
            self._runs.append(self._sort())

    @property
    def row_counts(self) -> dict[ChunkId, int]:
        """Rows of each chunk that has any, in the order of first appearance."""
        counts: dict[ChunkId, int] = {}
        for run in self._runs:
            for chunk, (start, end) in run.slices.items():
                counts[chunk] = counts.get(chunk, 0) + end - start
        return counts

    def read(self, chunk: ChunkId, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield a chunk's rows in ``_healpix_29`` order, which is the same whatever columns are asked for."""
        slices = [(run, *run.slices[chunk]) for run in self._runs if chunk in run.slices]
        if len(slices) == 1:
            run, start, end = slices[0]
            yield from run.read(start, end, columns)
            return
        read = None if columns is None else [*columns, *({HEALPIX_COLUMN} & set(self.schema.names) - set(columns))]
        parts = [pa.Table.from_batches(run.read(start, end, read)) for run, start, end in slices]
        for batch in _merge([_Part(part, _pixels(part)) for part in parts]):
            yield batch if columns is None else batch.select(columns)

    def values(self, column: str) -> Iterator[tuple[pa.Array, Pixels]]:
        """Yield the values of one column and the chunk of each, run after run."""
        for run in self._runs:
            for chunk, (start, end) in run.slices.items():
                for batch in run.read(start, end, [column]):
                    yield batch.column(0), np.full(batch.num_rows, chunk, dtype=np.int64)

    def close(self) -> None:
        """Forget all rows, in memory and on disk."""
        self._runs.clear()
        self._batches.clear()
        self._chunks.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _sort(self) -> _MemoryRun:
        rows = pa.Table.from_batches(self._batches, self.schema).combine_chunks()
        chunks = np.concatenate(self._chunks)
        self._batches.clear()
        self._chunks.clear()
        batch_rows = max(RUN_BATCH_BYTES * rows.num_rows // max(self._bytes, 1), 1)
        self._bytes = 0
        order = np.argsort(_pixels(rows), kind="stable")
        sorted_chunks = chunks[order]
        starts = np.flatnonzero(np.diff(sorted_chunks, prepend=sorted_chunks[0] - 1))
        if len(starts) > len(np.unique(sorted_chunks[starts])):
            # Rows lie in chunks of other rows' pixels, as overlap and dependents do: chunks first, pixels within.
            order = order[np.argsort(sorted_chunks, kind="stable")]
            sorted_chunks = chunks[order]
            starts = np.flatnonzero(np.diff(sorted_chunks, prepend=sorted_chunks[0] - 1))
        ends = [*starts[1:].tolist(), len(order)]
        named = map(ChunkId, sorted_chunks[starts].tolist())
        slices = dict(zip(named, zip(starts.tolist(), ends, strict=True), strict=True))
        return _MemoryRun(slices, batch_rows, rows, order)

    def _write(self, run: _MemoryRun) -> _DiskRun:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"run-{len(self._runs)}.arrow"
        try:
            with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, self.schema) as writer:
                for batch in run.read(0, len(run.order)):
                    writer.write_batch(batch)
        except OSError as error:
            msg = f"{self._directory}: {error}; make room on that disk, then run the load again"
            raise StorageFullError(msg) from error
        return _DiskRun(run.slices, run.batch_rows, path)


@dataclass(frozen=True)
class _Part:
    """Rows of one chunk from one run, and their pixels, ascending."""

    rows: pa.Table
    pixels: Pixels

    def between(self, low: int, high: int) -> "_Part":
        """Return the rows with pixels in [low, high)."""
        start, end = np.searchsorted(self.pixels, [low, high])
        return _Part(self.rows.slice(start, end - start), self.pixels[start:end])


def _merge(parts: list[_Part]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all parts in order of their pixels."""
    parts = [part for part in parts if len(part.pixels)]
    if not parts:
        return
    low, high = min(int(part.pixels[0]) for part in parts), max(int(part.pixels[-1]) for part in parts) + 1
    if len(parts) == 1 or high - low == 1:
        for part in parts:
            yield from part.rows.to_batches()
    elif sum(part.rows.nbytes for part in parts) <= PIECE_BYTES:
        rows = pa.concat_tables([part.rows for part in parts]).combine_chunks()
        order = np.argsort(np.concatenate([part.pixels for part in parts]), kind="stable")
        yield from rows.take(pa.array(order)).to_batches()
    else:
        middle = (low + high) // 2
        yield from _merge([part.between(low, middle) for part in parts])
        yield from _merge([part.between(middle, high) for part in parts])


def _pixels(rows: pa.Table) -> Pixels:
    """Return the pixels of rows; those of a replicated table have none, and stay in their order."""
    if HEALPIX_COLUMN not in rows.schema.names:
        return np.full(rows.num_rows, NO_PIXEL, dtype=np.int64)
    column = pc.fill_null(rows.column(HEALPIX_COLUMN), NO_PIXEL)
    pixels: Pixels = column.to_numpy()
    return pixels

"""Rows in any order -> the same rows in the order of a pixel column, in bounded memory.

Rows are held until they are too many; then they go to files, one for each pixel some orders finer, and each file is read again on
its own: one that is too large still is divided the same way.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from partitioner.healpix import ORDER, Pixels
from partitioner.pixel import HealpixPixel

MEMORY_BYTES: Final = 128 * 2**20
"""Of rows that are held; sorting takes as much once more."""

FIRST_ORDER: Final = 2
"""Of the files of the whole sky: 192."""

ORDERS_A_LEVEL: Final = 3
"""By which files are finer than the pixel that they divide: 64 of them."""

NO_ORDER: Final = -1
"""Of the whole sky, which is no pixel."""


class Spill:
    """Rows of a part of the sky.

    Parameters
    ----------
    directory
        For files, if there will be any; it is made, and removed by `close`.
    key
        Name of the column of order-29 pixels by which rows are sorted; NULL counts as 0. Rows of one pixel keep their order.
    order
        Of the pixel that all rows are in; `NO_ORDER` if they may be anywhere.
    """

    def __init__(
        self, directory: Path, schema: pa.Schema, key: str, *, order: int = NO_ORDER, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.schema = schema
        self.rows, self.size_bytes = 0, 0
        self.fine = FIRST_ORDER if order == NO_ORDER else min(order + ORDERS_A_LEVEL, ORDER)
        """Order of the pixels that have files of their own."""
        self._directory, self._key, self._memory_bytes = directory, key, memory_bytes
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._counts: Counter[int] = Counter()
        self._sorted: pa.Table | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the rows."""
        self._held, self._sorted = [], None
        shutil.rmtree(self._directory, ignore_errors=True)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows in."""
        if not batch.num_rows:
            return
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        self.rows += batch.num_rows
        self.size_bytes += batch.nbytes
        if self._held_bytes > self._memory_bytes:
            self._flush()

    def held(self) -> tuple[pa.Table, Pixels] | None:
        """Return all rows, sorted, and their pixels; None if they are in files. No more can be added then."""
        if self._counts:
            self._flush()
            return None
        if self._sorted is None:
            table = pa.Table.from_batches(self._held, self.schema)
            self._held = []
            self._sorted = table.take(pa.array(np.argsort(self._pixels(table), kind="stable")))
        return self._sorted, self._pixels(self._sorted)

    def count(self, pixel: HealpixPixel) -> int:
        """Return how many rows the files have in a pixel, which is no finer than they are."""
        return sum(self._counts[each] for each in self._files_in(pixel))

    @contextmanager
    def opened(self, number: int) -> Iterator["Spill"]:
        """Give the rows of a file, by the number of its pixel, and remove it."""
        path = self._path(number)
        with Spill(path.with_suffix(".parts"), self.schema, self._key, order=self.fine, memory_bytes=self._memory_bytes) as inner:
            if self._counts[number]:
                for batch in _read(path):
                    inner.add(batch)
                path.unlink()
            yield inner

    def tables(self, pixel: HealpixPixel | None = None) -> Iterator[pa.Table]:
        """Yield the rows, sorted, of everywhere or of a pixel that is no finer than the files. They are given once."""
        held = self.held()
        if held is not None:
            yield held[0]
            return
        for number in self._files_in(pixel):
            if self.fine < ORDER:
                with self.opened(number) as inner:
                    yield from inner.tables()
            else:  # they are in order as they are
                yield from (pa.Table.from_batches([batch]) for batch in _read(self._path(number)))

    def _files_in(self, pixel: HealpixPixel | None) -> list[int]:
        if pixel is None:
            return sorted(self._counts)
        finer = 2 * (self.fine - pixel.order)
        return [number for number in sorted(self._counts) if number >> finer == pixel.ipix]

    def _pixels(self, table: pa.Table) -> Pixels:
        keys: Pixels = pc.fill_null(table.column(self._key), 0).to_numpy()
        return keys

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.arrows"

    def _flush(self) -> None:
        """Add the rows that are held to their files."""
        if not self._held:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_batches(self._held, self.schema)
        self._held, self._held_bytes = [], 0
        numbers = self._pixels(table) >> (2 * (ORDER - self.fine))
        table = table.take(pa.array(np.argsort(numbers, kind="stable")))
        found, counts = np.unique(numbers, return_counts=True)
        start = 0
        for number, count in zip(found.tolist(), counts.tolist(), strict=True):
            with self._path(number).open("ab") as file, ipc.new_stream(file, self.schema, options=_LZ4) as stream:
                stream.write_table(table.slice(start, count))
            self._counts[number] += count
            start += count


_LZ4 = ipc.IpcWriteOptions(compression="lz4")


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file, which is one stream behind another."""
    size = path.stat().st_size
    with pa.OSFile(str(path)) as file:
        while file.tell() < size:
            with ipc.open_stream(file) as stream:
                yield from stream

"""Blocks of rows in COPY's binary format, written by compiled loops: column by column, while a block stays in a processor's cache.

A row is an int16 number of fields, and for each field an int32 length, -1 for NULL, and that many bytes. Numbers are big-endian,
times are counted from 2000-01-01 (PostgreSQL manual, COPY, "Binary Format"; the ``recv`` functions of the types).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

from partitioner.compiled import compiled

Bytes = NDArray[np.uint8]
Places = NDArray[np.uint64]
"""Unsigned: of signed ones, the loops would ask whether they count from the end."""

BLOCK_BYTES: Final = 512 * 1024
"""Of rows that are written together."""

EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01, PostgreSQL's zero of time, from 1970-01-01, Arrow's."""

COUNT_BYTES, LENGTH_BYTES = 2, 4
"""Of the number of fields, and of a field's length."""

NULL: Final = 0xFF
"""Each byte of a NULL's length, -1."""

NO_BITS: Final = np.frombuffer(b"", np.uint8)
"""Validity bitmap of a column without NULLs."""


def blocks(batch: pa.RecordBatch) -> Iterator[memoryview]:
    """Yield the rows of a batch, which has some, of types of columns of tables; each block is there until the next one is."""
    columns = [_column(column) for column in batch.columns]
    least = COUNT_BYTES + sum(LENGTH_BYTES + column.least_bytes for column in columns)
    rows = max(BLOCK_BYTES // max(least, batch.nbytes // batch.num_rows), 1)
    out = np.empty(BLOCK_BYTES, np.uint8)
    for start in range(0, batch.num_rows, rows):
        sizes = np.full(min(rows, batch.num_rows - start), least, np.uint64)
        for column in columns:
            column.add_sizes(sizes, start)
        ends = np.cumsum(sizes)
        places, size = ends - sizes, int(ends[-1])
        if size > len(out):
            out = np.empty(size, np.uint8)
        _put_counts(out, places, len(columns))
        for column in columns:
            column.put(out, places, start)
        yield out[:size].data


@dataclass(frozen=True)
class _Values:
    """A column of values that all have the same number of bytes.

    Attributes
    ----------
    values
        The values as unsigned integers, shape (n,).
    valid, first_bit
        Validity bitmap, and the place of the first row in it.
    """

    values: NDArray[Any]  # unsigned integers of one width
    valid: Bytes
    first_bit: int

    @property
    def least_bytes(self) -> int:
        """Bytes of a value that are there in each row."""
        return 0 if len(self.valid) else self.values.itemsize

    def add_sizes(self, sizes: Places, start: int) -> None:
        """Add to the sizes of rows, the first of which is at a place, the bytes of values that are not there in each."""
        if len(self.valid):
            _add_valid(sizes, self.valid, self.first_bit + start, self.values.itemsize)

    def put(self, out: Bytes, places: Places, start: int) -> None:
        """Write the fields of the same rows, and move the places, shape (m,), behind them."""
        PUT[self.values.itemsize](out, places, self.values[start : start + len(places)], self.valid, self.first_bit + start)


@dataclass(frozen=True)
class _Texts:
    """A column of texts or bytes.

    Attributes
    ----------
    data, ends
        All texts, one after the other; where the first one begins and where each ends, shape (n + 1,).
    valid, first_bit
        As of `_Values`.
    """

    data: Bytes
    ends: NDArray[np.int32]
    valid: Bytes
    first_bit: int
    least_bytes = 0

    def add_sizes(self, sizes: Places, start: int) -> None:
        """As of `_Values`."""
        _add_texts(sizes, self.ends[start:], self.valid, self.first_bit + start)

    def put(self, out: Bytes, places: Places, start: int) -> None:
        """As of `_Values`."""
        _put_texts(out, places, (self.data, self.ends[start:]), self.valid, self.first_bit + start)


def _column(column: pa.Array) -> _Values | _Texts:
    bitmap, *buffers = column.buffers()
    valid = _read_only(bitmap, "u1") if column.null_count else NO_BITS
    if types.is_string(column.type) or types.is_binary(column.type):
        ends, data = buffers
        shown = slice(column.offset, column.offset + len(column) + 1)
        return _Texts(NO_BITS if data is None else _read_only(data, "u1"), _read_only(ends, "i4")[shown], valid, column.offset)
    shown = slice(column.offset, column.offset + len(column))
    if types.is_boolean(column.type):
        values = _read_only(np.unpackbits(_read_only(buffers[0], "u1"), bitorder="little"), "u1")[shown]
    elif types.is_timestamp(column.type):
        values = _read_only(_read_only(buffers[0], "i8")[shown] - EPOCH_US, "u8")
    else:
        values = _read_only(buffers[0], f"u{column.type.bit_width // 8}")[shown]
    return _Values(values, valid, column.offset)


def _read_only(buffer: pa.Buffer | NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return the values in a buffer; for arrays that may be written the loops would be compiled once more."""
    values: NDArray[Any] = np.frombuffer(buffer, dtype)
    values.flags.writeable = False
    return values


@compiled
def _add_valid(sizes: Places, valid: Bytes, first_bit: int, value_bytes: int) -> None:
    for row in range(len(sizes)):
        bit = first_bit + row
        if valid[bit >> 3] >> (bit & 7) & 1:
            sizes[row] += np.uint64(value_bytes)


@compiled
def _add_texts(sizes: Places, ends: NDArray[np.int32], valid: Bytes, first_bit: int) -> None:
    for row in range(len(sizes)):
        bit = first_bit + row
        if not len(valid) or valid[bit >> 3] >> (bit & 7) & 1:
            sizes[row] += np.uint64(ends[row + 1] - ends[row])


@compiled
def _put_counts(out: Bytes, places: Places, fields: int) -> None:
    for row in range(len(places)):
        place = places[row]
        out[place] = fields >> 8
        out[place + np.uint64(1)] = fields & 0xFF
        places[row] = place + np.uint64(COUNT_BYTES)


def _putter(value_bytes: int) -> Callable[[Bytes, Places, NDArray[Any], Bytes, int], None]:
    """Return the loop that writes values of so many bytes, a number that it is compiled with: that makes it five times as fast."""

    def put(out: Bytes, places: Places, values: NDArray[Any], valid: Bytes, first_bit: int) -> None:
        for row in range(len(places)):
            place, bit = places[row], first_bit + row
            behind = place + np.uint64(LENGTH_BYTES)
            if len(valid) and not valid[bit >> 3] >> (bit & 7) & 1:
                for byte in range(LENGTH_BYTES):
                    out[place + np.uint64(byte)] = NULL
                places[row] = behind
                continue
            for byte in range(LENGTH_BYTES):
                out[place + np.uint64(byte)] = value_bytes >> 8 * (3 - byte)
            value = np.uint64(values[row])
            for byte in range(value_bytes):
                out[behind + np.uint64(byte)] = value >> np.uint64(8 * (value_bytes - 1 - byte))
            places[row] = behind + np.uint64(value_bytes)

    # Its compiled code is in a file of this name: processes that compile different ones at once must not share it.
    put.__qualname__ = f"put_{value_bytes}"
    return compiled(put)


PUT: Final = {value_bytes: _putter(value_bytes) for value_bytes in (1, 2, 4, 8)}
"""Loops that write the fields of a column of values, by the bytes of a value, and move the places behind them."""


@compiled
def _put_texts(out: Bytes, places: Places, texts: tuple[Bytes, NDArray[np.int32]], valid: Bytes, first_bit: int) -> None:
    data, ends = texts
    for row in range(len(places)):
        place, bit = places[row], first_bit + row
        behind = place + np.uint64(LENGTH_BYTES)
        if len(valid) and not valid[bit >> 3] >> (bit & 7) & 1:
            for byte in range(LENGTH_BYTES):
                out[place + np.uint64(byte)] = NULL
            places[row] = behind
            continue
        first, length = ends[row], ends[row + 1] - ends[row]
        for byte in range(LENGTH_BYTES):
            out[place + np.uint64(byte)] = length >> 8 * (3 - byte)
        for byte in range(length):
            out[behind + np.uint64(byte)] = data[first + byte]
        places[row] = behind + np.uint64(length)

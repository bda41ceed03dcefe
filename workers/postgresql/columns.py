"""Columns of PostgreSQL's binary rows -> Arrow arrays, by type. No I/O.

A field is an int32 length, -1 for NULL, and the value, as the type's ``send`` function writes it: numbers big-endian, times from
2000-01-01 (sources of PostgreSQL: src/backend/utils/adt).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qserv.errors import QueryEvaluationError

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Values = npt.NDArray[Any]  # of any type of value

SLACK_BYTES: Final = 1_664 * 20
"""Bytes that must follow the last row in memory, because NULLs are first read as if values were there: as many as the most columns
of an answer (MaxTupleAttributeNumber) of the widest type have."""

_EPOCH_US: Final = 946_684_800_000_000
_EPOCH_DAYS: Final = 10_957
"""2000-01-01, PostgreSQL's zero of time, from 1970-01-01, Arrow's."""


_LENGTH: Final = np.dtype(">i4")

_LAST_OF_NULL: Final = 0xFF
"""Last byte of the length -1."""


class MalformedError(Exception):
    """The bytes are not rows of the columns that were announced."""


class ColumnType(Protocol):
    """Reads the columns of a type."""

    @property
    def arrow(self) -> pa.DataType:
        """Type of what is read."""

    @property
    def one(self) -> Callable[[bytes], object] | None:
        """Reads one value, as Python's; None where only columns can be read."""

    @property
    def value_bytes(self) -> int | None:
        """Bytes of a value; None where it may have any number."""

    def fields(self, data: Bytes, at: Positions) -> tuple[Values, Positions]:
        """Return what `read` takes of the fields of a column that are at some positions, and the positions behind them."""

    def read(self, data: Bytes, columns: Sequence[Values]) -> list[pa.Array]:
        """Return columns of as many rows, of their fields: many at once take little longer than one."""


@dataclass(frozen=True, eq=False)
class FixedType:
    """A type whose values all have the same number of bytes.

    Attributes
    ----------
    arrow
        Type of what is read.
    stored
        A value as it is sent.
    convert
        Makes Arrow's values, in C order; what it makes of zeros in place of NULLs does not matter.
    one
        Reads one value.
    """

    arrow: pa.DataType
    stored: np.dtype[Any]
    convert: Callable[[Values], Values]
    one: Callable[[bytes], object] | None

    @property
    def value_bytes(self) -> int:
        """Bytes of a value."""
        return self.stored.itemsize

    @cached_property
    def field_bytes(self) -> int:
        """Bytes of a field that is not NULL."""
        return 4 + self.stored.itemsize

    @cached_property
    def _are_bits(self) -> bool:
        return bool(self.arrow == pa.bool_())

    @cached_property
    def _steps(self) -> Positions:
        """Bytes of a field by the last byte of its length; no value of such a type is as long as -1 looks there."""
        steps = 4 + np.minimum(np.arange(256), self.stored.itemsize)
        steps[_LAST_OF_NULL] = 4
        return steps

    def fields(self, data: Bytes, at: Positions) -> tuple[Values, Positions]:
        """Return the fields of a column as bare bytes, as if none were NULL, and the positions behind them."""
        fields = self._bytes(data, at, 1)
        last = np.ndarray((len(at),), np.uint8, fields, 3, fields.strides)
        return fields, at + self._steps.take(last)

    def read(self, data: Bytes, columns: Sequence[Values]) -> list[pa.Array]:  # noqa: ARG002 (the fields have all bytes)
        """Return columns that may have NULLs."""
        fields = np.concatenate(columns)
        lengths, values = self._parts(fields, (len(fields),), (self.field_bytes,))
        valid = lengths == self.stored.itemsize
        if valid.all():
            return cut(self._array(self.convert(values), None), len(columns))
        if (lengths[~valid] != -1).any():
            raise wrong_length(self)
        values[~valid] = np.zeros((), self.stored)
        return cut(self._array(self.convert(values), bitmap(valid)), len(columns))

    def read_together(self, data: Bytes, at: Positions, count: int) -> list[pa.Array]:
        """Return columns that lie side by side, up to the first one that has a NULL."""
        fields = self._bytes(data, at, count)
        lengths, values = self._parts(fields, (count, len(at)), (self.field_bytes, count * self.field_bytes))
        full = lengths == self.stored.itemsize
        if not full.all():
            count = int(full.all(axis=1).argmin())
        return [self._array(column, None) for column in self.convert(values[:count])]

    def _bytes(self, data: Bytes, at: Positions, count: int) -> Values:
        """Return so many fields that lie side by side from each position on, as bare bytes, which move twice as fast."""
        bare = _bare(count * self.field_bytes)
        return np.ndarray((len(data) - bare.itemsize + 1,), bare, data, strides=(1,))[at]

    def _parts(self, fields: Values, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[Values, Values]:
        """Return lengths and values of fields that lie at some distances."""
        return np.ndarray(shape, _LENGTH, fields, 0, strides), np.ndarray(shape, self.stored, fields, 4, strides)

    def _array(self, values: Values, valid: pa.Buffer | None) -> pa.Array:
        stored = bitmap(values) if self._are_bits else pa.py_buffer(values)
        return pa.Array.from_buffers(self.arrow, len(values), [valid, stored])


@dataclass(frozen=True, eq=False)
class VaryingType:
    """A type whose values are any number of bytes, which Arrow takes as they are."""

    arrow: pa.DataType
    one = bytes
    value_bytes = None

    def fields(self, data: Bytes, at: Positions) -> tuple[Values, Positions]:
        """Return the positions, and those behind them."""
        return at, behind(data, at)

    def read(self, data: Bytes, columns: Sequence[Values]) -> list[pa.Array]:
        """Return columns of the positions of their fields."""
        at = np.concatenate(columns)
        length, valid = value_lengths(data, at)
        if not valid.any():
            return cut(pa.nulls(len(at), self.arrow), len(columns))
        # Arrow's offsets may have any bytes between two values: as values of their own, which are then left out.
        offsets = np.empty(2 * len(at), np.int32)
        offsets[0::2] = at + 4
        offsets[1::2] = offsets[0::2] + length
        both = pa.Array.from_buffers(self.arrow, len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
        values = both.take(pa.array(np.arange(0, len(offsets), 2, dtype=np.int32)))
        if not valid.all():
            values = pa.Array.from_buffers(self.arrow, len(at), [bitmap(valid), *values.buffers()[1:]])
        return cut(values, len(columns))


@dataclass(frozen=True, eq=False)
class NumericType:
    """``numeric``, read as the nearest double, which is what PostgreSQL makes of it in a cast. No answer is of type numeric.

    A value is four int16: number of digits, weight of the first one, sign, scale; then the digits, to the base of 10,000.
    """

    arrow: pa.DataType
    one = None
    value_bytes = None

    def fields(self, data: Bytes, at: Positions) -> tuple[Values, Positions]:
        """Return the positions, and those behind them."""
        return at, behind(data, at)

    def read(self, data: Bytes, columns: Sequence[Values]) -> list[pa.Array]:
        """Return columns of the positions of their fields."""
        return [self._column(data, at) for at in columns]

    def _column(self, data: Bytes, at: Positions) -> pa.Array:
        length, valid = value_lengths(data, at)
        words = numbers_at_every_byte(data, ">i2")
        start = np.where(valid, at + 4, 0)
        count, weight, sign = (np.where(valid, words[start + place], 0).astype(np.int64) for place in (0, 2, 4))
        if (valid & (length != 8 + 2 * count)).any():
            msg = "a value of type numeric does not have as many bytes as its digits"
            raise MalformedError(msg)
        most = max(int(count.max(initial=0)), 1)
        places = np.arange(most)
        present = places < count[:, None]
        digits = np.where(present, words[np.where(present, start[:, None] + 8 + 2 * places, 0)], 0)
        # As text, `<sign><digits>E<exponent>`, which Arrow reads to the nearest double.
        exponent = 4 * (weight + 1 - most)
        text = np.empty((len(at), 4 * most + 8), np.uint8)
        text[:, 0] = np.where(sign == _NEGATIVE, ord("-"), ord("0"))
        text[:, 1:-7] = _FOUR_DIGITS[digits].reshape(len(at), 4 * most)
        text[:, -7] = ord("E")
        text[:, -6] = np.where(exponent < 0, ord("-"), ord("+"))
        text[:, -5] = ord("0") + np.abs(exponent) // 10_000
        text[:, -4:] = _FOUR_DIGITS[np.abs(exponent) % 10_000]
        offsets = np.arange(len(at) + 1, dtype=np.int32) * text.shape[1]
        texts = pa.Array.from_buffers(pa.utf8(), len(at), [None, pa.py_buffer(offsets), pa.py_buffer(text)])
        values = texts.cast(self.arrow).to_numpy().copy()
        for special, value in _SPECIAL.items():
            values[sign == special] = value
        return pa.array(values, self.arrow, mask=~valid)


_FOUR_DIGITS: Final = np.array([list(f"{number:04}".encode()) for number in range(10_000)], np.uint8)

_NEGATIVE: Final = 0x4000
_SPECIAL: Final = {0xC000 - 0x10000: np.nan, 0xD000 - 0x10000: np.inf, 0xF000 - 0x10000: -np.inf}
"""Signs of values that have no digits, as int16."""


def wrong_length(kind: ColumnType) -> MalformedError:
    """Return the error of a value that cannot be of its type."""
    expected = "as many bytes as it says" if kind.value_bytes is None else f"{kind.value_bytes} bytes"
    return MalformedError(f"a value of type {kind.arrow} does not have {expected}")


def cut(values: pa.Array, count: int) -> list[pa.Array]:
    """Return so many columns that lie one behind the other."""
    rows = len(values) // count
    return [values.slice(begin, rows) for begin in range(0, count * rows, rows)] if rows else [values] * count


def bitmap(values: Values) -> pa.Buffer:
    """Return booleans, or bytes that are 0 or 1, as Arrow's bits."""
    return pa.py_buffer(np.packbits(values.view(np.bool_), bitorder="little"))


def numbers_at_every_byte(data: Bytes, number: str) -> Values:
    """Return the numbers that begin at every byte."""
    kind = np.dtype(number)
    return np.ndarray((len(data) - kind.itemsize + 1,), kind, data, strides=(1,))


def behind(data: Bytes, at: Positions) -> Positions:
    """Return the positions behind fields of any length."""
    length, _ = value_lengths(data, at)
    return at + 4 + length


def value_lengths(data: Bytes, at: Positions) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Return the number of bytes of values, 0 for NULL, and whether they are not NULL."""
    length = numbers_at_every_byte(data, ">i4")[at].astype(np.int64)
    if ((length < -1) | (at + 4 + length > len(data) - SLACK_BYTES)).any():
        msg = "a value has more bytes than there are"
        raise MalformedError(msg)
    valid = length >= 0
    return np.maximum(length, 0, out=length), valid


@cache
def _bare(size_bytes: int) -> np.dtype[np.void]:
    """Return the type of so many bytes: to make it of its name takes longer than to move a column of few rows."""
    return np.dtype((np.void, size_bytes))


def _native(values: Values) -> Values:
    return values.astype(values.dtype.newbyteorder("="), order="C")


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _float(number: str) -> Callable[[bytes], float]:
    unpack = struct.Struct(number).unpack
    return lambda value: float(unpack(value)[0])


def _times(arrow: pa.DataType, stored: str, offset: int) -> FixedType:
    """Return a type of times; `offset` makes them count from Arrow's epoch."""
    kind = np.dtype(stored)
    limits = np.iinfo(kind)

    def check(*, infinite: bool) -> None:
        # PostgreSQL's infinities are the largest and the smallest number of the type.
        if infinite:
            msg = "an infinite time cannot be sent; leave such rows out with isfinite(...)"
            raise QueryEvaluationError(msg)

    def convert(values: Values) -> Values:
        times = _native(values)
        check(infinite=bool(((times == limits.max) | (times == limits.min)).any()))
        times += times.dtype.type(offset)
        return times

    def one(value: bytes) -> int:
        time = _integer(value)
        check(infinite=time in {limits.max, limits.min})
        return time + offset

    return FixedType(arrow, kind, convert, one)


def _intervals(values: Values) -> Values:
    if (abs(values["microseconds"].astype(np.float64)) > _LONGEST_US).any():
        msg = "an interval of more than 292 years in hours cannot be sent; EXTRACT(EPOCH FROM ...) gives its seconds"
        raise QueryEvaluationError(msg)
    made = np.empty(values.shape, [("months", "=i4"), ("days", "=i4"), ("nanoseconds", "=i8")])
    made["months"], made["days"], made["nanoseconds"] = values["months"], values["days"], values["microseconds"] * 1000
    return made


_TEXT: Final = VaryingType(pa.utf8())

_LONGEST_US: Final = 2**63 // 1000 - 1000
"""The longest time that nanoseconds count."""

_INTERVAL: Final = np.dtype([("microseconds", ">i8"), ("days", ">i4"), ("months", ">i4")])

COLUMN_TYPES: Final[dict[int, ColumnType]] = {
    16: FixedType(pa.bool_(), np.dtype("u1"), _native, b"\1".__eq__),
    17: VaryingType(pa.binary()),
    19: _TEXT,  # name
    20: FixedType(pa.int64(), np.dtype(">i8"), _native, _integer),
    21: FixedType(pa.int16(), np.dtype(">i2"), _native, _integer),
    23: FixedType(pa.int32(), np.dtype(">i4"), _native, _integer),
    25: _TEXT,
    26: FixedType(pa.int64(), np.dtype(">u4"), lambda values: values.astype(np.int64, order="C"), None),  # oid
    114: _TEXT,  # json
    700: FixedType(pa.float32(), np.dtype(">f4"), _native, _float(">f")),
    701: FixedType(pa.float64(), np.dtype(">f8"), _native, _float(">d")),
    1042: _TEXT,  # character(n)
    1043: _TEXT,  # varchar
    1082: _times(pa.date32(), ">i4", _EPOCH_DAYS),
    1083: FixedType(pa.time64("us"), np.dtype(">i8"), _native, _integer),
    1114: _times(pa.timestamp("us"), ">i8", _EPOCH_US),
    1184: _times(pa.timestamp("us", "UTC"), ">i8", _EPOCH_US),
    1186: FixedType(pa.month_day_nano_interval(), _INTERVAL, _intervals, None),
    1700: NumericType(pa.float64()),
    2278: _TEXT,  # void, which is empty
}
"""Types by ``pg_type.oid`` (PostgreSQL, src/include/catalog/pg_type.dat; no version changes one): those of columns, listed in
``schema.types``, and what expressions give."""

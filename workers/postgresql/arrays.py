"""Arrays of one dimension in PostgreSQL's binary rows -> Arrow lists. No I/O.

A value is int32 number of dimensions, int32 whether elements are NULL, int32 type of the elements; for each dimension an int32
number of elements and the int32 subscript of the first; then the elements, each a field as those of a row. There is no dimension
where there are no elements (PostgreSQL, src/backend/utils/adt/arrayfuncs.c, ``array_send``).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qserv.errors import QueryEvaluationError
from workers.postgresql.columns import (
    COLUMN_TYPES,
    Bytes,
    ColumnType,
    FixedType,
    MalformedError,
    Positions,
    Values,
    behind,
    bitmap,
    numbers_at_every_byte,
    value_lengths,
    wrong_length,
)

HEADER_BYTES: Final = 20
"""Before the elements of an array of one dimension."""

EMPTY_BYTES: Final = 12
"""Of an array without elements."""

_HEADER: Final = struct.Struct(">i8xii")
_DIMENSIONS: Final = struct.Struct(">i")
_LENGTH: Final = struct.Struct(">i")


@dataclass(frozen=True, eq=False)
class ArrayType:
    """Arrays, read as lists."""

    element: ColumnType
    value_bytes = None

    @cached_property
    def arrow(self) -> pa.DataType:
        """Type of what is read."""
        return pa.list_(self.element.arrow)

    @cached_property
    def one(self) -> Callable[[bytes], object] | None:
        """Reads one value."""
        element = self.element.one
        return None if element is None else lambda value: _one(value, element, self.element)

    def fields(self, data: Bytes, at: Positions) -> tuple[Values, Positions]:
        """Return the positions, and those behind them."""
        return at, behind(data, at)

    def read(self, data: Bytes, columns: Sequence[Values]) -> list[pa.Array]:
        """Return columns of the positions of their fields.

        Raises
        ------
        QueryEvaluationError
            An array has several dimensions, or its first subscript is not 1.
        """
        return [self._column(data, at) for at in columns]

    def _column(self, data: Bytes, at: Positions) -> pa.Array:
        length, valid = value_lengths(data, at)
        words = numbers_at_every_byte(data, ">i4")
        start = np.where(valid, at + 4, 0)
        dimensions = np.where(valid, words[start], 0)
        full = dimensions > 0
        if (valid & (length < np.where(full, HEADER_BYTES, EMPTY_BYTES))).any():
            raise _too_short()
        begins, ends = start[full] + HEADER_BYTES, (start + length)[full]
        _check(dimensions, words[start[full] + 16])
        counts = np.zeros(len(at), np.int64)
        counts[full] = words[start[full] + 12]
        values = self._elements(data, begins, ends, counts[full])
        offsets = np.zeros(len(at) + 1, np.int32)
        np.cumsum(counts, out=offsets[1:])
        validity = None if valid.all() else bitmap(valid)
        return pa.Array.from_buffers(self.arrow, len(at), [validity, pa.py_buffer(offsets)], children=[values])

    def _elements(self, data: Bytes, begins: Positions, ends: Positions, counts: Positions) -> pa.Array:
        """Return the elements of arrays that have some, which begin and end at some positions, one after another."""
        if (begins > ends).any():
            raise _too_short()
        if not len(begins):
            return pa.nulls(0, self.element.arrow)
        size = self.element.field_bytes if isinstance(self.element, FixedType) else None
        if size is not None and (ends - begins == counts * size).all():
            before = np.cumsum(counts) - counts
            at = np.repeat(begins - before * size, counts) + size * np.arange(counts.sum())
        else:
            at = _fields(data, begins, ends, counts, size)
        fields, _ = self.element.fields(data, at)
        (elements,) = self.element.read(data, [fields])
        return elements


def _fields(data: Bytes, begins: Positions, ends: Positions, counts: Positions, size: int | None) -> Positions:
    """Return where the fields of arrays begin; those that are not NULL have ``size`` bytes, or any number of them.

    Each field tells where the next one is. To follow them all at once, wherever a field may begin is looked at.
    """
    first = int(begins[0])
    length = numbers_at_every_byte(data, ">i4")[first : int(ends[-1]) - 3]
    # Letters are lengths beyond those of all arrays: most places are ruled out at once.
    longest = int((ends - begins).max()) - 4
    places = np.flatnonzero((length >= -1) & (length <= longest) if size is None else (length == -1) | (length == size - 4))
    behind = places + (first + 4) + np.maximum(length[places], 0)
    places += first
    end = ends[np.searchsorted(begins, places, side="right") - 1]
    within = behind <= end
    places, behind, end = places[within], behind[within], end[within]
    following = np.append(np.searchsorted(places, behind), len(places))
    # The end of the way, `len(places)`, follows at the end of an array, and where no field begins.
    following[:-1][(behind == end) | (np.append(places, -1)[following[:-1]] != behind)] = len(places)
    found = places[walked(following, np.searchsorted(places, begins), int(counts.max()))]
    if len(found) != counts.sum():
        msg = "arrays of other numbers of elements than they say"
        raise MalformedError(msg)
    return found


def walked(following: Positions, first: Positions, steps: int) -> npt.NDArray[np.bool_]:
    """Tell which places are met on the ways that begin at some, of so many steps at the most, in about log2(steps) rounds.

    Parameters
    ----------
    following
        What follows each place; behind the last place its number, where every way ends, and which follows itself.
    """
    count = len(following) - 1
    met = np.zeros(count + 1, np.bool_)
    met[first] = True
    for _ in range(steps.bit_length()):
        met[following[met]] = True
        following = following[following]
    return met[:count]


def _one(value: bytes, element: Callable[[bytes], object], kind: ColumnType) -> list[object]:
    try:
        return _elements_of(value, element, kind)
    except struct.error as error:
        raise _too_short() from error


def _elements_of(value: bytes, element: Callable[[bytes], object], kind: ColumnType) -> list[object]:
    (dimensions,) = _DIMENSIONS.unpack_from(value)
    if not dimensions:
        return []
    _, count, lower = _HEADER.unpack_from(value)
    _check(np.array([dimensions]), np.array([lower]))
    found: list[object] = []
    at = HEADER_BYTES
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(value, at)
        at += _LENGTH.size
        if length == -1:
            found.append(None)
            continue
        if length != kind.value_bytes and (kind.value_bytes is not None or not 0 <= length <= len(value) - at):
            raise wrong_length(kind)
        found.append(element(value[at : at + length]))
        at += length
    if at != len(value):
        raise _too_short()
    return found


def _too_short() -> MalformedError:
    return MalformedError("an array does not have as many bytes as its elements")


def _check(dimensions: npt.NDArray[np.int32], lower: npt.NDArray[np.int32]) -> None:
    if (dimensions > 1).any():
        msg = f"an array of {dimensions.max()} dimensions cannot be sent, only one of one; CAST(... AS TEXT) makes a text of it"
        raise QueryEvaluationError(msg)
    if (lower != 1).any():
        msg = f"an array whose first subscript is {lower[lower != 1][0]} cannot be sent, only one that begins at 1"
        raise QueryEvaluationError(msg)


ARRAY_TYPES: Final[dict[int, ColumnType]] = {
    oid: ArrayType(COLUMN_TYPES[element])
    for oid, element in (
        *((1000, 16), (1001, 17), (1003, 19), (1016, 20), (1005, 21), (1007, 23), (1009, 25), (1028, 26), (199, 114), (1021, 700)),
        *((1022, 701), (1014, 1042), (1015, 1043), (1182, 1082), (1115, 1114), (1183, 1083), (1185, 1184)),
        *((1187, 1186), (1231, 1700)),
    )
}
"""Types by ``pg_type.oid``: those of arrays of each type that columns have."""

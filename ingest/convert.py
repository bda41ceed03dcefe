"""Values of a file -> values of a column's type: exactly, or not at all."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from qserv.errors import IngestError
from schema.model import Column, ColumnType
from schema.types import arrow_type

EARLIEST_TIMESTAMP_US = -210_866_803_200_000_000
"""Microseconds from 1970 to 4714-11-24 BC, the first day that PostgreSQL's timestamps reach (documentation, 8.5)."""

INFINITE_TIMESTAMPS = (-(2**63), 2**63 - 1)
"""What stands for minus and plus infinity where times are 64-bit integers (PostgreSQL, and those who copy from it)."""


class ConversionError(IngestError):
    """A value cannot be stored. ``row`` is its place in the batch, from 0."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason


class TypeMismatchError(IngestError):
    """No value of the file's type can be stored in a column of this type."""


def convert(values: pa.Array, column: Column) -> pa.Array:
    """Return values in a column's Arrow type. NaN becomes NULL unless the column keeps it.

    Integers may become floating point and the other way round where the value stays the same; texts (as of CSV) are parsed.
    A double that is no float32 is refused for a ``float`` column: whoever wants it rounded does so in the file.

    Raises
    ------
    ConversionError
        A value would change, or does not fit.
    TypeMismatchError
        The file's type has no such conversion.
    """
    values = plain(values)
    target = arrow_type(column)
    if types.is_null(values.type):
        return pa.nulls(len(values), target)
    for accepts, conversion in _CONVERSIONS[_KINDS[column.datatype]]:
        if accepts(values.type):
            return conversion(values, column, target)
    msg = f"it is of type {values.type} in the file, which cannot become {column.datatype.value} ({target})"
    raise TypeMismatchError(msg)


def first_true(mask: pa.Array) -> int | None:
    """Return the place of the first true value, if there is one; NULL is not true."""
    place: int = pc.index(mask, value=True).as_py()
    return None if place < 0 else place


def plain(values: pa.Array) -> pa.Array:
    """Return values without an encoding of their own."""
    if types.is_dictionary(values.type) or types.is_run_end_encoded(values.type):
        values = values.cast(values.type.value_type)
    if types.is_large_string(values.type) or types.is_string_view(values.type):
        return values.cast(pa.string())
    if types.is_large_binary(values.type) or types.is_binary_view(values.type) or types.is_fixed_size_binary(values.type):
        return values.cast(pa.binary())
    return values


def _cast(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    if values.type == target:
        return values
    try:
        return pc.cast(values, target)
    except pa.ArrowInvalid as error:
        reason = f"it is not exactly a value of type {column.datatype.value}"
        raise ConversionError(_first_refused(values, target), reason) from error


def _first_refused(values: pa.Array, target: pa.DataType) -> int:
    """Return the place of the first value whose cast fails, by bisection: Arrow's errors name the value but not its place."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(values.slice(low, middle - low), target)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _to_integer(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    if types.is_floating(values.type):
        values = _without_nan(values)
    return _cast(values, column, target)


def _text_to_integer(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    try:
        return pc.cast(values, target)
    except pa.ArrowInvalid:
        # Some writers turn integers into floating point as soon as one is NULL: 12.0 is 12.
        return _to_integer(_cast(values, column, pa.float64()), column, target)


def _to_floating(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    converted = _cast(values, column, target)
    if types.is_floating(values.type) and values.type.bit_width > target.bit_width:
        # Arrow rounds without a word here.
        changed = pc.and_(pc.not_equal(converted.cast(values.type), values), pc.invert(pc.is_nan(values)))
        row = first_true(changed)
        if row is not None:
            raise ConversionError(row, f"it is not exactly a value of type {column.datatype.value}: declare the column as double")
    return converted if column.keep_nan else _without_nan(converted)


def _without_nan(values: pa.Array) -> pa.Array:
    """Return floating values with NULL for NaN."""
    if not _has_nan(values):
        return values
    nan = pc.is_nan(values)
    return pc.if_else(nan, pa.scalar(None, values.type), values) if pc.any(nan).as_py() else values


def _has_nan(values: pa.Array) -> bool:
    """Tell whether there is NaN, be it in the place of a NULL: a quick test before the exact one."""
    if types.is_float16(values.type) or not len(values):
        return True
    shown = np.frombuffer(values.buffers()[1], f"f{values.type.bit_width // 8}")[values.offset : values.offset + len(values)]
    return bool(np.isnan(shown.min()))


def _to_text(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    converted = _cast(values, column, target)
    if column.length is not None and _longest_bytes(converted) > column.length:
        row = first_true(pc.greater(pc.utf8_length(converted), column.length))
        if row is not None:
            raise ConversionError(row, f"it is longer than the {column.length} characters of the column")
    if _has_zero_byte(converted):
        row = first_true(pc.match_substring(converted, "\0"))
        if row is not None:
            raise ConversionError(row, "it holds a NUL character, which PostgreSQL cannot store")
    return converted


def _longest_bytes(values: pa.Array) -> int:
    """Return the length of the longest text in bytes: no text has more characters than bytes."""
    return int(np.diff(_offsets(values)).max(initial=0))


def _has_zero_byte(values: pa.Array) -> bool:
    """Tell whether the bytes of texts hold a zero, be it in the place of a NULL: a quick test before the exact one."""
    data, offsets = values.buffers()[2], _offsets(values)
    return data is not None and len(offsets) > 0 and not np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]].all()


def _offsets(values: pa.Array) -> NDArray[np.int32]:
    """Return where the first text begins, and where each ends; shape (0,) if there is none."""
    behind = values.offset + len(values) + 1 if len(values) else values.offset
    return np.frombuffer(values.buffers()[1] or b"", dtype=np.int32)[values.offset : behind]


def _to_binary(values: pa.Array, column: Column, _target: pa.DataType) -> pa.Array:
    if column.length is not None:
        row = first_true(pc.greater(pc.binary_length(values), column.length))
        if row is not None:
            raise ConversionError(row, f"it is longer than the {column.length} bytes of the column")
    return values


def _to_timestamp(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    if types.is_timestamp(values.type):
        whole = values.cast(pa.int64())
        if set(INFINITE_TIMESTAMPS) & set(pc.min_max(whole).as_py().values()):
            _refuse_times(pc.is_in(whole, pa.array(INFINITE_TIMESTAMPS, pa.int64())), "the time is infinite")
        if values.type.tz is not None:
            # Arrow keeps such times in UTC already.
            values = values.cast(pa.timestamp(values.type.unit))
    converted = _cast(values, column, target)
    _refuse_times(pc.less(converted.cast(pa.int64()), EARLIEST_TIMESTAMP_US), "PostgreSQL's times begin in 4714 BC")
    return converted


def _refuse_times(wrong: pa.Array, reason: str) -> None:
    row = first_true(wrong)
    if row is not None:
        raise ConversionError(row, reason)


Accepts = Callable[[pa.DataType], bool]
Conversion = Callable[[pa.Array, Column, pa.DataType], pa.Array]

_NUMBER_KINDS = {
    ColumnType.SHORT: "integer",
    ColumnType.INT: "integer",
    ColumnType.LONG: "integer",
    ColumnType.FLOAT: "floating",
    ColumnType.DOUBLE: "floating",
}
_KINDS = dict.fromkeys(ColumnType, "text") | _NUMBER_KINDS
_KINDS |= {ColumnType.BOOLEAN: "boolean", ColumnType.BINARY: "binary", ColumnType.TIMESTAMP: "timestamp"}

_CONVERSIONS: dict[str, tuple[tuple[Accepts, Conversion], ...]] = {
    "boolean": ((types.is_boolean, _cast), (types.is_string, _cast)),
    "integer": (
        (types.is_integer, _to_integer),
        (types.is_floating, _to_integer),
        (types.is_decimal, _cast),
        (types.is_string, _text_to_integer),
    ),
    "floating": ((types.is_floating, _to_floating), (types.is_integer, _to_floating), (types.is_string, _to_floating)),
    "text": ((types.is_string, _to_text),),
    "binary": ((types.is_binary, _to_binary),),
    "timestamp": ((types.is_timestamp, _to_timestamp), (types.is_date, _to_timestamp), (types.is_string, _to_timestamp)),
}
"""For each kind of column, which types of a file it takes, and how."""

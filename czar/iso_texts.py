"""Intervals and times of day as texts of ISO 8601: neither VOTable nor a column of a table has a type for them.

They are what PostgreSQL writes with ``intervalstyle = iso_8601`` (src/backend/utils/adt/datetime.c, EncodeInterval):
``P1Y2M3DT4H5M6.5S``, a sign before each number, ``PT0S`` for none; and ``CAST(... AS TEXT)`` of a time, ``04:05:06.5``. Pure.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_INTERVAL: Final = np.dtype([("months", "=i4"), ("days", "=i4"), ("nanoseconds", "=i8")])
"""Arrow's interval of months, days and nanoseconds."""

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US

WRITTEN_TOGETHER: Final = 1 << 14
"""Values whose texts are made at a time: there are arrays of a million, and what lies between is many times their texts."""

Integers = npt.NDArray[np.int64]


def shown_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which values of a type are shown in an answer."""
    if pa.types.is_list(kind):
        return pa.list_(shown_type(kind.value_type))
    return pa.string() if _is_interval(kind) or pa.types.is_time(kind) else kind


def shown(column: pa.Array) -> pa.Array:
    """Return a column of an answer as values of its `shown_type`."""
    kind = shown_type(column.type)
    if kind == column.type:
        return column
    if not len(column):
        return pa.array([], kind)
    if pa.types.is_list(kind):
        # A mask goes with offsets that are no slice of others.
        return pa.ListArray.from_arrays(pa.array(column.offsets.to_numpy()), shown(column.values), mask=column.is_null())
    written = _intervals if _is_interval(column.type) else _times
    slices = (column.slice(first, WRITTEN_TOGETHER) for first in range(0, len(column), WRITTEN_TOGETHER))
    return pa.concat_arrays([written(each) for each in slices])


def _is_interval(kind: pa.DataType) -> bool:
    return bool(kind == pa.month_day_nano_interval())


def _intervals(column: pa.Array) -> pa.Array:
    values = np.frombuffer(column.buffers()[1], _INTERVAL, len(column), column.offset * _INTERVAL.itemsize)
    months, microseconds = values["months"].astype(np.int64), values["nanoseconds"] // 1000
    years, months = _divided(months, 12)
    hours, rest = _divided(microseconds, _HOUR_US)
    minutes, rest = _divided(rest, _MINUTE_US)
    date = _joined("P", _numbered(years, "Y"), _numbered(months, "M"), _numbered(values["days"].astype(np.int64), "D"))
    time = _joined(_numbered(hours, "H"), _numbered(minutes, "M"), _where(rest == 0, "", _joined(_seconds(rest), "S")))
    text = _joined(date, _where(microseconds == 0, "", _joined("T", time)))
    return _without_null(pc.if_else(pc.equal(text, "P"), "PT0S", text), column)


def _times(column: pa.Array) -> pa.Array:
    values = column.cast(pa.time64("us")).view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    hours, rest = _divided(values, _HOUR_US)
    minutes, rest = _divided(rest, _MINUTE_US)
    seconds = _seconds(rest)
    padded = _where(rest < 10 * _SECOND_US, _joined("0", seconds), seconds)
    return _without_null(_joined(_two_digits(hours), ":", _two_digits(minutes), ":", padded), column)


def _divided(number: Integers, divisor: int) -> tuple[Integers, Integers]:
    """Return quotient and remainder as C has them: both with the sign of the number."""
    quotient = np.abs(number) // divisor * np.sign(number)
    return quotient, number - quotient * divisor


def _seconds(microseconds: Integers) -> pa.Array:
    """Return seconds with the digits of their fraction that are not 0."""
    whole, fraction = np.divmod(np.abs(microseconds), _SECOND_US)
    digits = pc.utf8_rtrim(pc.utf8_lpad(_text(fraction), 6, "0"), "0")
    after = _where(fraction == 0, "", _joined(".", digits))
    return _joined(_where(microseconds < 0, "-", ""), _text(whole), after)


def _numbered(number: Integers, letter: str) -> pa.Array:
    return _where(number == 0, "", _joined(_text(number), letter))


def _two_digits(number: Integers) -> pa.Array:
    return pc.utf8_lpad(_text(number), 2, "0")


def _text(number: Integers) -> pa.Array:
    return pa.array(number).cast(pa.string())


def _where(condition: npt.NDArray[np.bool_], one: Any, other: Any) -> pa.Array:  # noqa: ANN401 (a text, or a column of them)
    return pc.if_else(pa.array(condition), one, other)


def _joined(*parts: Any) -> pa.Array:  # noqa: ANN401 (texts, or columns of them)
    return pc.binary_join_element_wise(*parts, "")


def _without_null(text: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))

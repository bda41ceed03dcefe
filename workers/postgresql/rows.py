"""Rows of PostgreSQL's protocol -> Arrow record batches, whole columns at a time. No I/O.

A row is a DataRow message: ``D``, int32 length (without the ``D``), int16 number of fields, and for each field an int32 length, -1
for NULL, and that many bytes. All numbers are big-endian (PostgreSQL manual, section "Message Formats"). Where a field begins
depends on the NULLs and texts before it, so positions are an array, one a row, which each column reads at and moves on.
"""

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from qserv.errors import NotYetSupportedError
from workers.postgresql.arrays import ARRAY_TYPES, walked
from workers.postgresql.columns import (
    COLUMN_TYPES,
    Bytes,
    ColumnType,
    FixedType,
    MalformedError,
    Positions,
    Values,
    numbers_at_every_byte,
    wrong_length,
)
from workers.postgresql.wire import HEADER_BYTES, ResultField

FEW_ROWS: Final = 16
"""Up to about so many rows, values are read one by one. 12 rows of 66 columns, of which 47 have NULLs, take 0.8 ms so and 1.0 ms by
columns, 20 rows 1.2 and 1.1 ms."""

FEW_BYTES: Final = 1 << 16
"""More are never few rows: only the first one's length is looked at, and others may be shorter."""

FEW_ALIKE: Final = 3
"""Fewer columns of a type side by side are read as if they had NULLs, together with all others of the type: two by themselves
would gain nothing."""

_TYPES: Final = COLUMN_TYPES | ARRAY_TYPES

_ROW: Final = ord("D")
_ROW_BEGIN: Final = struct.Struct(">BiH")
_LENGTH: Final = struct.Struct(">i")


def complete_rows(data: Bytes, fields: int) -> tuple[Positions, int]:
    """Return where the rows begin that lie one after another from the first byte on, and where the last of them ends.

    Parameters
    ----------
    data
        Messages, the last one perhaps cut off.
    fields
        Number of fields in a row.
    """
    smallest = HEADER_BYTES + 2 + 4 * fields
    if len(data) < smallest or data[0] != _ROW:
        return np.empty(0, np.int64), 0
    # Whatever looks like the begin of a row; nearly always it is one.
    begins = np.flatnonzero(data[: len(data) - smallest + 1] == _ROW)
    begins = begins[numbers_at_every_byte(data, ">u2")[begins + HEADER_BYTES] == fields]
    ends = begins + 1 + numbers_at_every_byte(data, ">i4")[begins + 1]
    whole = (ends <= len(data)) & (ends >= begins + smallest)
    if not whole.all():
        begins, ends = begins[whole], ends[whole]
    if not len(begins) or begins[0] != 0:
        return np.empty(0, np.int64), 0
    if (begins[1:] != ends[:-1]).any():
        count = len(begins)
        following = np.append(np.searchsorted(begins, ends), count)
        # The end of the way, `count`, follows where no candidate begins.
        following[:-1][np.append(begins, -1)[following[:-1]] != ends] = count
        reached = walked(following, np.zeros(1, np.int64), count)
        begins, ends = begins[reached], ends[reached]
    return begins, int(ends[-1])


@dataclass(frozen=True, eq=False)
class _Layout:
    """What decoders of the same columns share."""

    types: tuple[ColumnType, ...]
    schema: pa.Schema
    row_type: pa.StructType
    has_nulls: list[bool]
    """Of each column, as far as is known. Several of one type side by side that have none are read together."""


@lru_cache(maxsize=256)
def _layout(fields: tuple[ResultField, ...]) -> _Layout:
    """Return how rows of some columns lie; kept, because statements that follow each other often answer alike."""
    unknown = next((field for field in fields if field.type_oid not in _TYPES), None)
    if unknown is not None:
        what = f"column {unknown.name} of PostgreSQL's type number {unknown.type_oid}"
        msg = f"not yet supported: {what}; cast it to a number or a text"
        raise NotYetSupportedError(msg)
    types = tuple(_TYPES[field.type_oid] for field in fields)
    schema = pa.schema([pa.field(field.name, kind.arrow) for field, kind in zip(fields, types, strict=True)])
    return _Layout(types, schema, pa.struct(schema), [False] * len(fields))


def _are_few(data: Bytes, size: int) -> bool:
    """Whether messages are about `FEW_ROWS` rows at the most, if they are as long as the first one."""
    return size < HEADER_BYTES or size <= min(FEW_BYTES, FEW_ROWS * (1 + _LENGTH.unpack_from(data.data, 1)[0]))


def _not_its_fields() -> MalformedError:
    return MalformedError("a row does not have as many bytes as its fields")


class RowDecoder:
    """Turns rows of some columns into record batches.

    Parameters
    ----------
    fields
        The columns, in binary format.

    Raises
    ------
    NotYetSupportedError
        One is of a type that no column of a table has.
    """

    def __init__(self, fields: Sequence[ResultField]) -> None:
        layout = _layout(tuple(fields))
        self._types, self.schema, self._row_type = layout.types, layout.schema, layout.row_type
        self._ones = [(kind, kind.one, kind.value_bytes) for kind in self._types if kind.one is not None]
        self._has_nulls = layout.has_nulls

    def take(self, data: Bytes, size: int) -> tuple[pa.RecordBatch | None, int]:
        """Return the rows that lie one after another from the first byte on, None if there is none, and their number of bytes.

        Parameters
        ----------
        data
            Messages, the last one perhaps cut off, and `SLACK_BYTES` behind them. The batch does not refer to it.
        size
            Bytes of the messages.

        Raises
        ------
        MalformedError
            A value is not of its type's length.
        QueryEvaluationError
            A time is infinite, or an array not of one dimension.
        """
        if len(self._ones) == len(self._types) and _are_few(data, size):
            return self._take_few(data[:size].tobytes())
        begins, end = complete_rows(data[:size], len(self._types))
        return (self._columns(data, begins, end) if end else None), end

    def _take_few(self, data: bytes) -> tuple[pa.RecordBatch | None, int]:
        """Read rows value by value."""
        rows: list[tuple[object, ...]] = []
        at = 0
        while len(data) - at >= _ROW_BEGIN.size:
            kind, length, count = _ROW_BEGIN.unpack_from(data, at)
            end = at + 1 + length
            if kind != _ROW or end > len(data) or count != len(self._ones):
                break
            at += _ROW_BEGIN.size
            row: list[object] = []
            for column, one, value_bytes in self._ones:
                if end - at < _LENGTH.size:
                    raise _not_its_fields()
                (length,) = _LENGTH.unpack_from(data, at)
                at += _LENGTH.size
                if length == -1:
                    row.append(None)
                    continue
                if length != value_bytes and value_bytes is not None:
                    raise wrong_length(column)
                if not 0 <= length <= end - at:
                    raise _not_its_fields()
                row.append(one(data[at : at + length]))
                at += length
            if at != end:
                raise _not_its_fields()
            rows.append(tuple(row))
        return (pa.RecordBatch.from_struct_array(pa.array(rows, self._row_type)) if rows else None), at

    def _columns(self, data: Bytes, begins: Positions, end: int) -> pa.RecordBatch:
        """Read rows column by column."""
        at = begins + (HEADER_BYTES + 2)
        columns: list[pa.Array] = []
        apart: defaultdict[ColumnType, dict[int, Values]] = defaultdict(dict)
        while (place := len(columns)) < len(self._types):
            kind = self._types[place]
            if isinstance(kind, FixedType) and (count := self._alike(place)) >= FEW_ALIKE:
                found = kind.read_together(data, at, count)
                at = at + len(found) * kind.field_bytes
                columns += found
                if len(found) < count:
                    self._has_nulls[len(columns)] = True
            else:
                apart[kind][place], at = kind.fields(data, at)
                columns.append(None)
        for kind, fields in apart.items():
            for place, column in zip(fields, kind.read(data, list(fields.values())), strict=True):
                columns[place] = column
        if (at[:-1] != begins[1:]).any() or at[-1] != end:
            raise _not_its_fields()
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _alike(self, first: int) -> int:
        """Return how many columns, from one on, are of its type and have had no NULL."""
        last = first
        while last < len(self._types) and self._types[last] is self._types[first] and not self._has_nulls[last]:
            last += 1
        return last - first

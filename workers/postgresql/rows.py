"""Rows of PostgreSQL's protocol -> Arrow record batches, whole columns at a time. No I/O.

A row is a DataRow message: ``D``, int32 length (without the ``D``), int16 number of fields, and for each field an int32 length, -1
for NULL, and that many bytes. All numbers are big-endian (PostgreSQL manual, section "Message Formats"). Where a field begins
depends on the NULLs and texts before it, so positions are an array, one a row, which each column reads at and moves on.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qserv.errors import NotYetSupportedError
from workers.postgresql.columns import COLUMN_TYPES, Bytes, FixedType, Positions, numbers_at_every_byte
from workers.postgresql.wire import HEADER_BYTES, ResultField

_ROW = ord("D")


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
        reached = _reached(begins, ends)
        begins, ends = begins[reached], ends[reached]
    return begins, int(ends[-1])


def _reached(begins: Positions, ends: Positions) -> npt.NDArray[np.bool_]:
    """Tell which candidates are met on the way from the first one, from end to begin, in about log2(candidates) steps."""
    count = len(begins)
    following = np.append(np.searchsorted(begins, ends), count)
    # The end of the way, `count`, follows where no candidate begins.
    following[:-1][np.append(begins, -1)[following[:-1]] != ends] = count
    reached = np.zeros(count + 1, np.bool_)
    reached[0] = True
    for _ in range(count.bit_length()):
        reached[following[reached]] = True
        following = following[following]
    return reached[:count]


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
        unknown = next((field for field in fields if field.type_oid not in COLUMN_TYPES), None)
        if unknown is not None:
            what = f"column {unknown.name} of PostgreSQL's type number {unknown.type_oid}"
            msg = f"not yet supported: {what}; cast it to a number or a text"
            raise NotYetSupportedError(msg)
        self._types = [COLUMN_TYPES[field.type_oid] for field in fields]
        self.schema = pa.schema([pa.field(field.name, kind.arrow) for field, kind in zip(fields, self._types, strict=True)])
        self._has_nulls = [False] * len(fields)
        """As far as is known. Columns of one type that have none are read together."""

    def decode(self, data: Bytes, begins: Positions) -> pa.RecordBatch:
        """Return rows as a batch that does not refer to the bytes any more.

        Parameters
        ----------
        data
            The rows, and `SLACK_BYTES` behind them.
        begins
            Where the rows begin.

        Raises
        ------
        MalformedError
            A value is not of its type's length.
        QueryEvaluationError
            A time is infinite.
        """
        at = begins + (HEADER_BYTES + 2)
        columns: list[pa.Array] = []
        while (place := len(columns)) < len(self._types):
            kind = self._types[place]
            if isinstance(kind, FixedType) and not self._has_nulls[place]:
                count = self._alike(place)
                found = kind.read_together(data, at, count)
                at = at + len(found) * kind.field_bytes
                columns += found
                if len(found) < count:
                    self._has_nulls[len(columns)] = True
            else:
                column, at = kind.read(data, at)
                columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _alike(self, first: int) -> int:
        """Return how many columns, from one on, are of its type and have had no NULL."""
        last = first + 1
        while last < len(self._types) and self._types[last] is self._types[first] and not self._has_nulls[last]:
            last += 1
        return last - first

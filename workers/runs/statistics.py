"""Ranges of the columns of a chunk, batch by batch: what lets the czar leave a chunk out of a query."""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from partitioner.sphere import Floats
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, HEALPIX_COLUMN
from workers.table_actions import MeasuredColumn

MAX_TEXT_CHARACTERS = 64
"""Longest text kept as the end of a range: a longer one makes the range unknown, which is safe and keeps the metadata small."""


def text_of(value: object) -> str:
    """Return Python's value of a column as PostgreSQL reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        # The shortest decimal form that reads back as the same float64; of a float32 it has digits to spare.
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


class ColumnRange:
    """Range of the values of one column. Its ends are ``Any``: Python's value for whatever type the column has."""

    def __init__(self, name: str, datatype: pa.DataType) -> None:
        self.name = name
        self._datatype = datatype
        self._low: Any = None
        self._high: Any = None
        self._null_count = 0
        self._has_nan = False

    def add(self, values: pa.Array) -> None:
        """Widen the range by values."""
        self._null_count += values.null_count
        if types.is_binary(self._datatype):
            return
        if types.is_floating(self._datatype):
            self._add_numbers(values.drop_null().to_numpy())
            return
        found = pc.min_max(values)
        self._widen(found["min"].as_py(), found["max"].as_py())

    def _add_numbers(self, values: Floats) -> None:
        """Widen the range by floating-point values, shape (n,). Arrow would take ten times as long, as it looks past each NaN."""
        low = values.min(initial=np.inf)
        if np.isnan(low):
            self._has_nan = True
            values = values[~np.isnan(values)]
            low = values.min(initial=np.inf)
        if len(values):
            self._widen(low.item(), values.max().item())

    def _widen(self, low: Any, high: Any) -> None:  # noqa: ANN401 (as its ends)
        if low is not None:
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)

    def statistics(self) -> MeasuredColumn:
        """Return the range as the metadata database keeps it."""
        low, high = self._text(self._low), self._text(self._high)
        known = low is not None and high is not None
        infinite = any(isinstance(end, float) and math.isinf(end) for end in (self._low, self._high))
        return MeasuredColumn(
            column=self.name,
            minimum=low if known else None,
            maximum=high if known else None,
            null_count=self._null_count,
            has_nan=self._has_nan,
            has_infinity=infinite,
        )

    def _text(self, value: object) -> str | None:
        """Return a value as PostgreSQL reads it for the column's type; None where there is none that is short enough."""
        text = None if value is None else text_of(value)
        return None if text is None or len(text) > MAX_TEXT_CHARACTERS else text


class Ranges:
    """Ranges of all columns of some rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self._ranges = [ColumnRange(field.name, field.type) for field in schema]

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows in."""
        self.rows += batch.num_rows
        for column, values in zip(self._ranges, batch.columns, strict=True):
            column.add(values)

    def watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches, and take their rows in."""
        for batch in batches:
            self.add(batch)
            yield batch

    def statistics(self) -> list[MeasuredColumn]:
        """Return the ranges as the metadata database keeps them: those of the declared columns."""
        return [
            column.statistics() for column in self._ranges if column.name not in {HEALPIX_COLUMN, CONTRIBUTION_COLUMN, ENDED_COLUMN}
        ]

"""Sums of a column: what two large answers are compared by, in any order of their rows."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

WITHIN = 1e-9
"""Of the sum of magnitudes: in another order a million doubles add up to another sum."""


MOST = 1e290
"""Larger doubles are counted alone: nothing holds the sum of a few of 1e308."""


@dataclass(frozen=True)
class Sums:
    """Values that are not NULL, and sums of a measure of each: of numbers themselves, of texts their bytes, else nothing."""

    measure: str
    count: int = 0
    total: float = 0
    magnitude: float = 0

    @classmethod
    def of(cls, kind):
        """Return the sums of no value of a type."""
        if types.is_integer(kind):
            return cls("integer")
        if types.is_floating(kind):
            return cls("float")
        if types.is_string(kind):
            return cls("text")
        return cls("bytes" if types.is_binary(kind) else "")

    def __add__(self, column):
        """Add a column of a batch."""
        values = column.drop_null()
        if not self.measure or not len(values):
            return Sums(self.measure, self.count + len(values), self.total, self.magnitude)
        if self.measure in {"text", "bytes"}:
            values = pc.binary_length(values)
        if self.measure == "float":
            numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
            numbers = numbers[np.abs(numbers) <= MOST]
            total, magnitude = math.fsum(numbers), math.fsum(np.abs(numbers))
        else:
            total = magnitude = int(pc.sum(values.cast(pa.decimal128(38, 0))).as_py())
        return Sums(self.measure, self.count + len(values), self.total + total, self.magnitude + magnitude)

    def sql(self, column):
        """Return the expressions of the same in PostgreSQL: count, total."""
        total = {
            "integer": f"COALESCE(SUM({column}::numeric), 0)",
            "float": f"COALESCE(SUM(CASE WHEN ABS({column}::float8) <= {MOST} THEN {column}::float8 END), 0)",
            "text": f"COALESCE(SUM(octet_length(concat({column}))), 0)",
            "bytes": f"COALESCE(SUM(octet_length({column})), 0)",
        }.get(self.measure, "0")
        # `concat` writes intervals and times, which are texts in an answer, and leaves the blanks of char(n), which a cast cuts.
        # NaN is larger than any number there.
        return f"COUNT({column}), {total}"

    def differs(self, count, total):
        """Return whether the oracle's are others."""
        if self.measure == "float":
            return count != self.count or abs(float(total) - self.total) > WITHIN * self.magnitude
        return (count, int(total)) != (self.count, self.total)

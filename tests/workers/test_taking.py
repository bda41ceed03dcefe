"""Rows in another order, compared with Arrow's own."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from workers.runs.taking import taken

VALUES = {
    pa.bool_(): [True, False, True],
    pa.int8(): [1, -128, 127],
    pa.int16(): [1, -32768, 32767],
    pa.int32(): [1, -(2**31), 2**31 - 1],
    pa.int64(): [1, -(2**63), 2**53 + 1],
    pa.float32(): [0.1, float("inf"), -0.0],
    pa.float64(): [0.1, float("-inf"), 5e-324],
    pa.timestamp("us"): [1, 2**63 - 1, -(2**63)],
    pa.date32(): [1, 2**31 - 1, -(2**31)],
    pa.decimal128(38, 3): [Decimal("0.001"), Decimal(-5), Decimal(10) ** 34],
    pa.string(): ["", "é", "x" * 300],
    pa.binary(): [b"", b"\0", b"x" * 300],
    pa.list_(pa.float32()): [[], [1.0, None], [2.0] * 9],
}
"""Some values of each type."""

ROWS = 1000


@pytest.mark.parametrize("kind", VALUES, ids=str)
@pytest.mark.parametrize("nulls", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("offset", [0, 13])
def test_rows_are_those_that_arrow_takes(kind, nulls, offset):
    chance = np.random.default_rng([ROWS, offset, int(nulls * 10)])
    values = [None if chance.random() < nulls else VALUES[kind][place] for place in chance.integers(0, 3, ROWS)]
    rows = pa.record_batch({"value": pa.array(values, kind), "row": np.arange(ROWS)}).slice(offset, ROWS - 2 * offset)
    for places in (chance.permutation(rows.num_rows), np.array([5, 5, 0]), np.empty(0, np.int64)):
        found = taken(rows, places)
        found.validate(full=True)
        assert found.equals(rows.take(pa.array(places)))
        assert found.schema.equals(rows.schema, check_metadata=True)
        assert found.column(0).null_count == rows.column(0).take(pa.array(places)).null_count

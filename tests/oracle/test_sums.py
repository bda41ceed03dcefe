import math

import pyarrow as pa
import pytest

from tests.oracle.sums import Sums

COLUMNS = [
    pa.array([1, None, 2**62, 2**62, -5]),
    pa.array([True, None, False]),
    pa.array(["é", None, "", "abc"]),
    pa.array([1.5, None, math.inf, math.nan, -1e308, 1e308, 1e308, 1e308, 2.25]),
    pa.array([], pa.int32()),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: str(column.type))
def test_sums_do_not_depend_on_batches_and_notice_a_value_more(column):
    whole, parted = Sums.of(column.type) + column, Sums.of(column.type)
    for place in reversed(range(len(column))):
        parted += column.slice(place, 1)
    assert not whole.differs(parted.count, parted.total)
    assert whole.count == len(column) - column.null_count
    assert whole.differs(whole.count + 1, whole.total)
    if whole.measure in {"integer", "text"}:
        assert whole.differs(whole.count, whole.total + 1)


def test_a_sum_of_doubles_may_be_off_by_rounding_alone():
    sums = Sums.of(pa.float64()) + pa.array([0.1] * 1000)
    assert not sums.differs(1000, 100.00000000001)
    assert sums.differs(1000, 100.0001)

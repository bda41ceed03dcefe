import datetime as dt

import pyarrow as pa
import pytest

from workers.runs.statistics import ColumnRange

NAN, INF = float("nan"), float("inf")


def measured(arrow, *batches):
    column = ColumnRange("x", arrow)
    for batch in batches:
        column.add(pa.array(batch, arrow))
    return column.statistics()


@pytest.mark.parametrize(
    ("arrow", "batches", "low", "high"),
    [
        (pa.int64(), ([3, None], [-(2**60)]), str(-(2**60)), "3"),
        (pa.float64(), ([0.1, 2e300], [None]), "0.1", "2e+300"),
        (pa.float64(), ([-0.0],), "-0.0", "-0.0"),
        (pa.bool_(), ([True, True], [False]), "false", "true"),
        (pa.string(), (["b", "a"], ["ä"]), "a", "ä"),
        (pa.string(), (["a", "b" * 65],), None, None),
        (pa.binary(), ([b"a"],), None, None),
        (pa.timestamp("us"), ([dt.datetime(2026, 1, 2)],), "2026-01-02 00:00:00", "2026-01-02 00:00:00"),  # noqa: DTZ001 (times have no zone)
        (pa.float64(), ([None], []), None, None),
        (pa.float64(), ([NAN],), None, None),
    ],
)
def test_the_range_of_a_column(arrow, batches, low, high):
    record = measured(arrow, *batches)
    assert (record.minimum, record.maximum) == (low, high)
    assert record.null_count == sum(value is None for batch in batches for value in batch)


def test_nan_is_outside_the_range_and_told():
    record = measured(pa.float64(), [NAN, 1.0, NAN], [2.0, None])
    assert (record.minimum, record.maximum, record.has_nan, record.has_infinity, record.null_count) == (
        "1.0",
        "2.0",
        True,
        False,
        1,
    )


@pytest.mark.parametrize(("value", "text"), [(INF, "Infinity"), (-INF, "-Infinity")])
def test_infinity_is_in_the_range_and_told(value, text):
    record = measured(pa.float64(), [0.0], [value])
    assert text in {record.minimum, record.maximum}
    assert record.has_infinity


def test_a_float32_reads_back_as_itself():
    record = measured(pa.float32(), [0.1])
    assert pa.scalar(float(record.minimum), pa.float32()) == pa.scalar(0.1, pa.float32())


def test_texts_are_ordered_by_their_bytes_as_postgresql_orders_them_under_the_c_locale():
    texts = ["a", "B", "ä", "\U0001f31f", "￿"]
    record = measured(pa.string(), texts)
    assert record.minimum == "B"
    assert record.maximum == max(texts, key=str.encode) == "\U0001f31f"


def test_text_ranges_of_several_batches_are_ordered_likewise():
    record = measured(pa.string(), ["￿"], ["\U0001f31f"])
    assert (record.minimum, record.maximum) == ("￿", "\U0001f31f")

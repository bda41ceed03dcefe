"""Intervals and times of day as texts: what PostgreSQL writes."""

import pyarrow as pa
import pytest

from czar.iso_texts import shown, shown_type

INTERVAL = pa.month_day_nano_interval()
SECOND = 1_000_000_000
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0, 0, 0), "PT0S"),
        ((14, 3, 4 * HOUR + 5 * 60 * SECOND + 6 * SECOND), "P1Y2M3DT4H5M6S"),
        ((-14, 0, 0), "P-1Y-2M"),
        ((0, -2, 3 * HOUR), "P-2DT3H"),
        ((0, 0, -(4 * HOUR + 5 * 60 * SECOND + 6 * SECOND + 7000)), "PT-4H-5M-6.000007S"),
        ((0, 0, -250_000_000), "PT-0.25S"),
        ((0, 0, 30 * HOUR), "PT30H"),
        ((0, 0, 10 * SECOND), "PT10S"),
    ],
)
def test_an_interval_is_a_text(interval, text):
    assert shown(pa.array([pa.MonthDayNano(interval)], INTERVAL)).to_pylist() == [text]


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "00:00:00"), (14_706_500_000, "04:05:06.5"), (86_399_999_999, "23:59:59.999999"), (86_400_000_000, "24:00:00")],
)
def test_a_time_of_day_is_a_text(microseconds, text):
    assert shown(pa.array([microseconds, None], pa.int64()).view(pa.time64("us"))).to_pylist() == [text, None]


def test_null_slices_and_lists_stay_what_they_are():
    day, none = pa.MonthDayNano((0, 1, 0)), None
    column = pa.array([day, none, day, none], INTERVAL)
    assert shown(column.slice(1, 2)).to_pylist() == [None, "P1D"]
    lists = pa.array([[day], none, [], [none, day]], pa.list_(INTERVAL))
    assert shown(lists.slice(1)).to_pylist() == [None, [], [None, "P1D"]]
    assert shown(lists.slice(0, 0)).type == shown_type(lists.type) == pa.list_(pa.string())


def test_a_long_array_takes_the_memory_of_its_texts():
    days = pa.array([(0, number % 9, 0) for number in range(1000)], INTERVAL)
    lists = pa.ListArray.from_arrays([0, 200_000], pa.concat_arrays([days] * 200))
    usual, pool = pa.default_memory_pool(), pa.system_memory_pool()  # whose most is its own
    pa.set_memory_pool(pool)
    try:
        texts = shown(lists)
    finally:
        pa.set_memory_pool(usual)
    assert texts.values.to_pylist() == [f"P{number % 9}D" if number % 9 else "PT0S" for number in range(1000)] * 200
    assert pool.max_memory() < 3 * texts.get_total_buffer_size()


def test_other_columns_are_not_touched():
    column = pa.array([1, 2])
    assert shown(column) is column

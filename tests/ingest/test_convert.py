import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from ingest.convert import ConversionError, TypeMismatchError, convert
from schema.model import Column, ColumnType
from schema.types import arrow_type

NAN = float("nan")


def converted(values, datatype, arrow=None, **options):
    column = Column("x", datatype, **options)
    result = convert(pa.array(values, arrow), column)
    assert result.type == arrow_type(column)
    assert len(result) == len(values)
    return result.to_pylist()


@pytest.mark.parametrize(
    ("values", "arrow", "datatype", "expected"),
    [
        ([1, None], pa.int64(), ColumnType.SHORT, [1, None]),
        ([1, 255], pa.uint8(), ColumnType.LONG, [1, 255]),
        ([1.0, NAN, None, -2.0], pa.float64(), ColumnType.INT, [1, None, None, -2]),
        ([2.0**62], pa.float64(), ColumnType.LONG, [2**62]),
        (["12", "-3.0", None], pa.string(), ColumnType.LONG, [12, -3, None]),
        (["9007199254740993"], pa.string(), ColumnType.LONG, [9007199254740993]),
        ([1, 2**53], pa.int64(), ColumnType.DOUBLE, [1.0, 2.0**53]),
        ([0.5, NAN, float("inf")], pa.float64(), ColumnType.FLOAT, [0.5, None, float("inf")]),
        (["1e-3", "nan", "-inf", None], pa.string(), ColumnType.DOUBLE, [0.001, None, float("-inf"), None]),
        (["true", "0", None], pa.string(), ColumnType.BOOLEAN, [True, False, None]),
        (["a", None, "ä" * 3], pa.large_string(), ColumnType.UNICODE, ["a", None, "ä" * 3]),
        (["a", "a", None], pa.dictionary(pa.int8(), pa.string()), ColumnType.STRING, ["a", "a", None]),
        ([b"ab", None], pa.binary(2), ColumnType.BINARY, [b"ab", None]),
        ([None, None], pa.null(), ColumnType.TIMESTAMP, [None, None]),
        ([1_000], pa.timestamp("ns"), ColumnType.TIMESTAMP, [dt.datetime(1970, 1, 1, 0, 0, 0, 1)]),  # noqa: DTZ001 (times have no zone)
        ([0], pa.timestamp("s", "Europe/Berlin"), ColumnType.TIMESTAMP, [dt.datetime(1970, 1, 1)]),  # noqa: DTZ001
        (["2026-11-21T03:04:05.678901"], pa.string(), ColumnType.TIMESTAMP, [dt.datetime(2026, 11, 21, 3, 4, 5, 678901)]),  # noqa: DTZ001
        ([dt.date(2000, 1, 1)], pa.date32(), ColumnType.TIMESTAMP, [dt.datetime(2000, 1, 1)]),  # noqa: DTZ001
    ],
)
def test_a_value_stays_what_it_is(values, arrow, datatype, expected):
    assert converted(values, datatype, arrow) == expected


def test_nan_is_kept_where_the_column_says_so():
    assert np.isnan(converted([NAN], ColumnType.DOUBLE, keep_nan=True)[0])
    assert converted([NAN], ColumnType.DOUBLE) == [None]


@pytest.mark.parametrize(
    ("values", "arrow", "datatype", "options", "reason"),
    [
        ([0, 1, 40_000], pa.int64(), ColumnType.SHORT, {}, "not exactly a value of type short"),
        ([1.0, None, 1.5], pa.float64(), ColumnType.LONG, {}, "not exactly a value of type long"),
        ([1.0, 2.0, float("inf")], pa.float64(), ColumnType.LONG, {}, "not exactly"),
        ([1.0, 2.0, 1e300], pa.float64(), ColumnType.INT, {}, "not exactly"),
        (["1", "2", "2.5"], pa.string(), ColumnType.INT, {}, "not exactly"),
        (["1", "2", "two"], pa.string(), ColumnType.INT, {}, "not exactly"),
        ([1, 2, 2**53 + 1], pa.int64(), ColumnType.DOUBLE, {}, "not exactly"),
        ([0.5, NAN, 0.1], pa.float64(), ColumnType.FLOAT, {}, "declare the column as double"),
        (["1", "2", "1,5"], pa.string(), ColumnType.DOUBLE, {}, "not exactly"),
        (["1", "0", "maybe"], pa.string(), ColumnType.BOOLEAN, {}, "not exactly"),
        (["ab", None, "ääää"], pa.string(), ColumnType.STRING, {"length": 3}, "longer than the 3 characters"),
        (["ab", None, "a\0b"], pa.string(), ColumnType.STRING, {}, "NUL character"),
        ([b"ab", None, b"abcd"], pa.binary(), ColumnType.BINARY, {"length": 3}, "longer than the 3 bytes"),
        ([0, 1000, 1001], pa.timestamp("ns"), ColumnType.TIMESTAMP, {}, "not exactly"),
        ([0, None, 2**63 - 1], pa.timestamp("us"), ColumnType.TIMESTAMP, {}, "infinite"),
        ([0, None, -(2**63)], pa.timestamp("ns"), ColumnType.TIMESTAMP, {}, "infinite"),
        ([0, 1, -210_866_803_200_001], pa.timestamp("ms"), ColumnType.TIMESTAMP, {}, "4714 BC"),
        (["2000-01-01", None, "infinity"], pa.string(), ColumnType.TIMESTAMP, {}, "not exactly"),
    ],
)
def test_a_value_that_would_change_is_refused_with_its_place(values, arrow, datatype, options, reason):
    with pytest.raises(ConversionError, match=reason) as caught:
        converted(values, datatype, arrow, **options)
    assert caught.value.row == 2


def test_the_place_is_found_in_a_slice_of_an_array():
    values = pa.array(["a\0b", "ok", "ok", "c\0d"]).slice(1)
    with pytest.raises(ConversionError) as caught:
        convert(values, Column("x", ColumnType.STRING))
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("arrow", "datatype"),
    [
        (pa.int64(), ColumnType.STRING),
        (pa.int64(), ColumnType.BOOLEAN),
        (pa.bool_(), ColumnType.INT),
        (pa.string(), ColumnType.BINARY),
        (pa.list_(pa.int64()), ColumnType.LONG),
        (pa.float64(), ColumnType.TIMESTAMP),
    ],
)
def test_a_type_without_a_conversion_is_named(arrow, datatype):
    with pytest.raises(TypeMismatchError, match=f"of type .* in the file, which cannot become {datatype.value}"):
        convert(pa.array([], arrow), Column("x", datatype))

"""Chunks that ranges leave out, against every value that the ranges allow, compared as PostgreSQL compares them."""

import datetime as dt
import math
import operator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from czar.analyse.query import Source
from czar.analyse.statistics import OR_EQUAL, _of, comparable
from czar.catalogue import ColumnStatistics, TableEntry
from czar.parse import parse
from schema.model import Column, ColumnType, Table, TableRole

COMPARED = {exp.LT: operator.lt, exp.LTE: operator.le, exp.GT: operator.gt, exp.GTE: operator.ge, exp.EQ: operator.eq}

INFINITY = float("inf")

WHOLE = st.one_of(
    st.integers(-5, 5),
    st.integers(2**53 - 4, 2**53 + 4),
    st.integers(-(2**53) - 4, -(2**53) + 4),
    st.sampled_from([-(2**63), 2**63 - 1]),
)
NUMBERS = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 2.0**53, INFINITY, -INFINITY]))
TEXTS = st.text(alphabet="ab\u00e9\U0001d400\uff5e", max_size=2)


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def statistics_of(chunks, dtype, filler):
    """Statistics of chunks, each a list of values, with None for NULL; a chunk whose range is not known begins with `...`."""
    known = [[value for value in values if value is not None and not is_nan(value)] for values in chunks]
    are_known = [bool(values) and values[0] is not ... for values in known]
    pairs = [(min(v), max(v)) if is_known else (filler, filler) for v, is_known in zip(known, are_known, strict=True)]
    return ColumnStatistics(
        minimum=np.array([low for low, _ in pairs], dtype=dtype),
        maximum=np.array([high for _, high in pairs], dtype=dtype),
        is_known=np.array(are_known, dtype=bool),
        null_count=np.array([values.count(None) for values in chunks], dtype=np.int64),
        has_nan=np.array([any(map(is_nan, values)) for values in chunks], dtype=bool),
    )


def kept(kind, chunks, dtype, constant, filler):
    counts = np.array([len(values) for values in chunks])
    return comparable(kind, statistics_of(chunks, dtype, filler), constant, counts).tolist()


KINDS = st.sampled_from(sorted(COMPARED, key=str))


@given(KINDS, st.lists(st.lists(st.none() | WHOLE, max_size=3), max_size=3), WHOLE | st.sampled_from([2**63, -(2**80), 10**299]))
def test_whole_numbers_are_compared_exactly(kind, chunks, constant):
    found = kept(kind, chunks, np.int64, constant, 0)
    for values, is_kept in zip(chunks, found, strict=True):
        assert is_kept == could_hold(kind, [value for value in values if value is not None], constant)


def could_hold(kind, values, constant):
    """Whether a value within the range that the values span can stand in the relation."""
    if not values:
        return False
    if kind is exp.EQ:
        return min(values) <= constant <= max(values)
    return any(COMPARED[kind](value, constant) for value in values)


@given(KINDS, st.lists(st.lists(st.none() | WHOLE, max_size=3), max_size=3), NUMBERS)
def test_whole_numbers_meet_a_decimal_as_doubles_or_exactly(kind, chunks, constant):
    """A constant of double precision makes doubles of both sides, a numeric one compares exactly: no chunk is missing."""
    found = kept(kind, chunks, np.int64, constant, 0)
    exact = constant if abs(constant) == INFINITY else Fraction(constant)
    for values, is_kept in zip(chunks, found, strict=True):
        present = [value for value in values if value is not None]
        assert is_kept or not could_hold(kind, present, exact)
        assert is_kept == could_hold(OR_EQUAL.get(kind, kind), [float(value) for value in present], constant)


@given(KINDS, st.lists(st.lists(st.none() | NUMBERS | st.just(float("nan")), max_size=3), max_size=3), NUMBERS | WHOLE)
def test_doubles(kind, chunks, constant):
    found = kept(kind, chunks, np.float64, constant, 0)
    for values, is_kept in zip(chunks, found, strict=True):
        finite = [value for value in values if value is not None and not is_nan(value)]
        has_nan = any(map(is_nan, values))
        assert is_kept == (has_nan or could_hold(kind, finite, float(constant)))


@pytest.mark.parametrize("kind", COMPARED)
@pytest.mark.parametrize("constant", [10**299, -(10**299), 10**400, -(10**400)])
def test_whole_constants_beyond_all_doubles_are_infinities(kind, constant):
    chunks = [[1.0, 2.0], [-INFINITY], [INFINITY]]
    rounded = float(constant) if abs(constant) < 10**300 else INFINITY if constant > 0 else -INFINITY
    assert kept(kind, chunks, np.float64, constant, 0) == [could_hold(kind, values, rounded) for values in chunks]


def test_a_decimal_that_rounds_to_a_whole_number_keeps_its_chunk():
    """2^53 < 9007199254740993.0 as numeric, while both are 2^53 as doubles."""
    assert kept(exp.LT, [[2**53], [2**53 + 2]], np.int64, 9007199254740993.0, 0) == [True, False]


@given(KINDS, st.lists(st.lists(st.none() | TEXTS, max_size=3), max_size=3), TEXTS)
def test_texts_are_compared_by_code_point(kind, chunks, constant):
    found = kept(kind, chunks, object, constant, "")
    for values, is_kept in zip(chunks, found, strict=True):
        assert is_kept == could_hold(kind, [value for value in values if value is not None], constant)


def kept_by(condition, chunks, dtype, filler):
    """Return the chunks that a condition on column ``c`` of table ``t`` keeps; None if it says nothing."""
    table = Table("t", TableRole.REPLICATED, (Column("c", ColumnType.TEXT),))
    counts = np.array([len(values) for values in chunks])
    entry = TableEntry("d", "", table, np.arange(len(chunks)), counts, counts, {"c": statistics_of(chunks, dtype, filler)})
    found = _of(parse(f"SELECT 1 FROM t WHERE {condition}").args["where"].this, Source("t", entry))  # noqa: S608 (texts of this file)
    return None if found is None else found.tolist()


MOMENTS = st.sampled_from([0, 1, 59_999_999, 10**14]).map(lambda us: dt.datetime(1999, 12, 31) + dt.timedelta(microseconds=us))  # noqa: DTZ001 (columns have no zone)

TIME = np.dtype("datetime64[us]")


@given(KINDS, st.lists(st.lists(st.none() | MOMENTS, max_size=3), max_size=3), MOMENTS, st.sampled_from(["", "TIMESTAMP "]))
def test_times(kind, chunks, constant, before):
    sign = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.EQ: "="}[kind]
    found = kept_by(f"t.c {sign} {before}'{constant}'", chunks, TIME, dt.datetime(1970, 1, 1))  # noqa: DTZ001 (as above)
    for values, is_kept in zip(chunks, found, strict=True):
        assert is_kept == could_hold(kind, [value for value in values if value is not None], constant)


YEARS = [[dt.datetime(year, 1, 1), dt.datetime(year, 12, 31)] for year in (1998, 1999, 2000)]  # noqa: DTZ001 (as above)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("t.c > '1999-12-31'", [False, False, True]),
        ("t.c >= DATE '1999-12-31'", [False, True, True]),
        ("t.c >= ('1999-12-31')", [False, True, True]),
        ("'1998-06-01 12:00' > t.c", [True, False, False]),
        ("t.c BETWEEN '1999-02-03T04:05:06.7' AND '1999-12-31 00:00:00'", [False, True, False]),
        ("t.c IN ('1998-06-01', CAST('2000-06-01' AS TIMESTAMP))", [True, False, True]),
        # What another setting or zone reads differently, and what another type rounds or cuts off.
        ("t.c > '31.12.1999'", None),
        ("t.c > '1999-12-31 00:00:00+01'", None),
        ("t.c > '1999-12-31 24:00'", None),
        ("t.c > '1999-02-30'", None),
        ("t.c > 'infinity'", None),
        ("t.c > '1999-12-31 00:00:00.1234567'", None),
        ("t.c > TIMESTAMP(0) '1999-12-31 00:00:00.5'", None),
        ("t.c > TIMESTAMPTZ '1999-12-31'", None),
        ("t.c > DATE '1999-12-31 12:00'", None),
        ("t.c > TIMESTAMP '1999-12-31' + INTERVAL '1 day'", None),
    ],
)
def test_spellings_of_times(condition, expected):
    assert kept_by(condition, YEARS, TIME, YEARS[0][0]) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("t.c", [True, False, True, False]),
        ("NOT t.c", [False, True, True, False]),
        ("t.c IS TRUE", [True, False, True, False]),
        ("t.c IS FALSE", [False, True, True, False]),
        ("t.c = FALSE", [False, True, True, False]),
        ("TRUE = t.c", [True, False, True, False]),
        ("t.c < TRUE", [False, True, True, False]),
        ("t.c IS NOT TRUE", None),
        ("t.c IS NOT FALSE", None),
        ("NOT (t.c IS TRUE)", None),
        ("t.c <> TRUE", None),
    ],
)
def test_booleans(condition, expected):
    chunks = [[True, None], [False], [True, False], [None]]
    assert kept_by(condition, chunks, np.bool_, filler=False) == expected


@pytest.mark.parametrize(("dtype", "constant", "filler"), [(np.int64, 7, 0), (np.float64, 7, 0), (object, "g", "")])
@pytest.mark.parametrize("kind", COMPARED)
def test_of_an_unknown_range_only_chunks_without_a_value_are_left_out(kind, dtype, constant, filler):
    assert kept(kind, [[..., ...], [..., None], [None, None]], dtype, constant, filler) == [True, True, False]


@pytest.mark.parametrize(("dtype", "constant", "filler"), [(np.int64, "7", 0), (np.float64, "7", 0), (object, 7, "")])
def test_texts_and_numbers_say_nothing_of_each_other(dtype, constant, filler):
    chunks = [["a"]] if dtype is object else [[1]]
    assert comparable(exp.EQ, statistics_of(chunks, dtype, filler), constant, np.array([1])) is None


def test_nan_as_a_constant_says_nothing():
    """Infinity - Infinity of two literals that are no doubles: a number to PostgreSQL."""
    assert comparable(exp.LT, statistics_of([[1.0]], np.float64, 0), INFINITY - INFINITY, np.array([1])) is None


REAL = Column("flux", ColumnType.FLOAT)


@pytest.mark.parametrize(("column", "left"), [(REAL, [True, True]), (replace(REAL, datatype=ColumnType.DOUBLE), [False, True])])
@pytest.mark.parametrize("numbers", ["16777217, 100000000", ", ".join(map(str, range(16777217, 16777417, 2)))])
def test_a_list_of_whole_numbers_that_are_rounded_to_real_leaves_no_chunk_out(column, left, numbers):
    """PostgreSQL: ``16777216::real IN (16777217, 100000000)`` is true."""
    table = Table("t", TableRole.REPLICATED, (column,))
    ranges = ColumnStatistics(
        np.array([16777216.0, 0.0]),
        np.array([16777216.0, 1e9]),
        np.array([True, True]),
        np.array([0, 0]),
        np.array([False, False]),
    )
    entry = TableEntry("d", "", table, np.array([4, 5]), np.array([1, 2]), np.array([0, 0]), {"flux": ranges})
    (member,) = parse(f"SELECT 1 WHERE t.flux IN ({numbers})").find_all(exp.In)
    found = _of(member, Source("t", entry))
    assert (left if found is None else found.tolist()) == left
    assert (found is None) == (column is REAL)

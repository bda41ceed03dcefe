"""The largest radius that a row says: never below one of brute force, and none where it does not follow."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from czar.analyse import named
from czar.analyse.radii_of_rows import OPERATIONS, radii_of_rows
from czar.catalogue import ColumnStatistics
from czar.parse import parse

DISTANCE = "DISTANCE(a.ra_degrees, a.dec_degrees, b.ra_degrees, b.dec_degrees)"

FORMS = {
    "-({})": lambda a: -a,
    "{} + {}": lambda a, b: a + b,
    "{} - {}": lambda a, b: a - b,
    "{} * {}": lambda a, b: a * b,
    "{} / {}": lambda a, b: a / b,
    "POWER({}, 2)": lambda a: a**2,
    "POWER({}, 3)": lambda a: a**3,
    "ABS({})": abs,
    "SQRT({})": lambda a: np.sqrt(np.where(a < 0, np.nan, a)),
    "GREATEST({}, {})": np.fmax,
    "LEAST({}, {})": np.fmin,
    "COALESCE({}, {})": lambda a, b: np.where(np.isnan(a), b, a),
}

MAGNITUDES = np.linspace(0, 12, 25, dtype=np.float32)
"""All over the range that the catalogue of these tests has."""


@st.composite
def radii(draw, depth=3):
    """Draw an expression of the magnitudes of two rows, as text and as what computes it in single precision."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        constant = draw(st.integers(-30, 30))
        return draw(
            st.sampled_from(
                [
                    ("a.magnitude", lambda a, _: a),
                    ("b.magnitude", lambda _, b: b),
                    # A whole number divided by another one is another question; see below.
                    (f"({constant}.0)", lambda *_: np.float32(constant)),
                ]
            )
        )
    form = draw(st.sampled_from(sorted(FORMS)))
    operands = [draw(radii(depth - 1)) for _ in range(form.count("{}"))]
    compute = FORMS[form]
    return f"({form.format(*(text for text, _ in operands))})", lambda a, b: compute(*(each(a, b) for _, each in operands))


def bound(radius, catalogue):
    """Return the constant that a distance below a radius is bounded by, None if there is none."""
    text = f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {DISTANCE} < {radius}"  # noqa: S608 (the test's own texts)
    where = named(parse(text), catalogue, text).tree.args["where"].sql("postgres")
    return float(where.rpartition("<= CAST(")[2].partition(" AS ")[0]) if "<= CAST(" in where else None


@given(radii())
def test_no_row_says_more(catalogue, radius):
    text, compute = radius
    found = bound(text, catalogue)
    assume(found is not None)
    with np.errstate(all="ignore"):
        values = np.asarray(compute(MAGNITUDES[:, None], MAGNITUDES[None, :]), dtype=np.float64)
    assert not (values > found).any()


def test_it_is_not_much_more_than_rows_say(catalogue):
    assert bound("3 * SQRT(POWER(a.magnitude, 2) + b.magnitude * b.magnitude)", catalogue) == pytest.approx(
        36 * math.sqrt(2), rel=1e-4
    )
    assert bound("LEAST(a.magnitude, 5) - b.magnitude", catalogue) == pytest.approx(12, rel=1e-4)
    assert bound("a.magnitude / (b.magnitude + 1)", catalogue) == pytest.approx(12, rel=1e-4)
    assert bound("-1 - a.magnitude", catalogue) == 0


def test_whole_numbers_are_divided_towards_zero(catalogue):
    assert bound("-(a.magnitude + 1) / 100", catalogue) == 0


@pytest.mark.parametrize(
    "radius",
    [
        "a.bv",  # has no statistics here
        "a.magnitude / b.magnitude",
        "POWER(a.magnitude, b.magnitude)",
        "POWER(a.magnitude, 0.5)",
        "POWER(a.magnitude * 1e30, 15)",
        "a.magnitude * 100",
        "CASE WHEN a.hip > 5 THEN a.magnitude END",
        "ABS(a.magnitude, 5)",
        "7",
    ],
)
def test_nothing_follows(catalogue, radius):
    assert bound(radius, catalogue) is None


@pytest.mark.parametrize(
    "known",
    [
        {"has_nan": [True, False]},
        {"is_known": [True, False]},
        {"maximum": [4.0, math.inf]},
        {"minimum": [-math.inf, 1.0]},
        {"is_known": [False, False], "null_count": [10, 10]},
        {"minimum": np.array(["a", "b"], object), "maximum": np.array(["c", "d"], object)},
    ],
)
def test_nothing_follows_from_columns_whose_largest_value_is_not_known(catalogue, known):
    given_ranges = {
        "minimum": [0.0, 1.0],
        "maximum": [4.0, 5.0],
        "is_known": [True, True],
        "null_count": [0, 0],
        "has_nan": [False, False],
    }

    def bound_of(ranges):
        statistics = ColumnStatistics(**{name: np.asarray(each) for name, each in ranges.items()})
        entries = tuple(
            dataclasses.replace(entry, statistics={"magnitude": statistics}, row_counts=np.array([10, 10]))
            if "hipparcos" in entry.name
            else entry
            for entry in catalogue.entries
        )
        return bound("a.magnitude", dataclasses.replace(catalogue, entries=entries))

    assert bound_of(given_ranges) == pytest.approx(5, rel=1e-4)
    assert bound_of(given_ranges | {"is_known": [True, False], "null_count": [0, 10]}) == pytest.approx(4, rel=1e-4)
    assert bound_of(given_ranges | known) is None


def test_every_operation_is_tried():
    assert {kind.__name__.upper() for kind in OPERATIONS} <= {
        *("NEG", "ADD", "SUB", "MUL", "DIV", "POW", "SQRT"),
        *(form.partition("(")[0] for form in FORMS),
    }


def test_a_query_without_distances_stays_as_it_is(catalogue):
    text = "SELECT hip FROM hipparcos WHERE magnitude < bv + 1"
    query = named(parse(text), catalogue, text)
    before = query.tree.sql()
    assert radii_of_rows(query).tree.sql() == before

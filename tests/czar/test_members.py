"""NOT IN of a chunk query, which PostgreSQL is to join."""

import pytest
import sqlglot
from sqlglot import exp

from czar.analyse import analyse
from czar.parse import parse
from czar.plan.build import build
from czar.plan.members import excluded_by_joins
from czar.snapshot import Snapshot


@pytest.fixture(scope="module")
def statement(catalogue):
    def planned(text):
        query, rows = analyse(parse(text), catalogue, text)
        return build(query, rows, Snapshot()).step.template

    return planned


BRIGHT = "FROM hipparcos AS b WHERE b.magnitude < 5"


@pytest.mark.parametrize(
    ("condition", "joined"),
    [
        (f"a.hip NOT IN (SELECT b.hip {BRIGHT})", '"b"."hip" = "a"."hip"'),
        (f"NOT (a.hip IN (SELECT b.hip {BRIGHT}))", '"b"."hip" = "a"."hip"'),
        (f"(a.hip, a.bv) NOT IN (SELECT b.hip, b.bv {BRIGHT})", 'NOT (("b"."bv" = "a"."bv") IS FALSE)'),
        (f"(a.hip, 1) NOT IN (SELECT b.hip, b.hip + 1 {BRIGHT})", 'NOT ((("b"."hip" + 1) = (1)) IS FALSE)'),
    ],
)
def test_rows_are_excluded_by_a_join(condition, joined, statement):
    text = statement(f"SELECT a.hip FROM hipparcos AS a WHERE {condition}")  # noqa: S608 (ours)
    assert "EXISTS(SELECT 1" in text
    assert joined in text


def written(condition):
    tree = sqlglot.parse_one(f"SELECT a.hip FROM hipparcos AS a WHERE {condition}", dialect="postgres")  # noqa: S608 (ours)
    for call in tree.find_all(exp.Rand):
        call.replace(exp.Anonymous(this="random"))  # as our dialects read it
    excluded_by_joins(tree, {})
    return tree.sql("postgres")


def test_a_pair_that_may_be_null_is_excluded_by_a_join_and_by_what_is_hashed():
    text = written(f"(a.bv, a.magnitude) NOT IN (SELECT b.bv, b.parallax_mas {BRIGHT})")
    assert "b.bv = a.bv AND b.parallax_mas = a.magnitude)" in text
    assert "b.bv = a.bv AND b.parallax_mas IS NULL)" in text
    assert "NOT a.magnitude IS NULL OR NOT a.bv IN (SELECT b.bv AS value" in text
    assert text.count("NOT a.magnitude IN (SELECT b.parallax_mas AS value") == 2
    assert "NOT a.bv IS NULL OR NOT" in text


@pytest.mark.parametrize("row", ["a.bv, a.magnitude", "RANDOM(), a.magnitude", "a.bv, a.magnitude, a.bv"])
def test_pairs_of_random_numbers_and_longer_rows_stay_as_they_are(row):
    items = {"a.bv, a.magnitude": "RANDOM(), b.bv", "RANDOM(), a.magnitude": "b.bv, b.bv"}.get(row, "b.bv, b.bv, b.bv")
    assert "EXISTS" not in written(f"({row}) NOT IN (SELECT {items} {BRIGHT})")


@pytest.mark.parametrize(
    "condition",
    [
        f"a.hip IN (SELECT b.hip {BRIGHT})",
        f"a.bv > 1 OR a.hip NOT IN (SELECT b.hip {BRIGHT})",
    ],
)
def test_other_memberships_stay_as_they_are(condition, statement):
    text = statement(f"SELECT a.hip FROM hipparcos AS a WHERE {condition}")  # noqa: S608 (ours)
    assert "EXISTS" not in text
    assert " IN (" in text

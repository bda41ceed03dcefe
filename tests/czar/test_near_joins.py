"""What a join of near neighbours reads, and which of its sides is copied."""

import re

import pytest

from czar.analyse import analyse
from czar.parse import parse
from czar.plan.build import build
from czar.snapshot import Snapshot

NEAR = "DISTANCE({0}.ra_degrees, {0}.dec_degrees, {1}.ra_degrees, {1}.dec_degrees) < 0.001"


@pytest.fixture(scope="module")
def statement(catalogue):
    def planned(text):
        query, rows = analyse(parse(text), catalogue, text)
        return build(query, rows, Snapshot()).step.template

    return planned


def copied(statement):
    return re.findall(r'"(\w+)"\._count_\d', statement)


def test_only_columns_that_are_read_go_through_the_join(statement):
    text = statement(
        "SELECT a.bv, COUNT(*) FROM hipparcos AS a JOIN hipparcos AS b ON "  # noqa: S608 (ours)
        + NEAR.format("a", "b")
        + " AND a.hip < b.hip GROUP BY a.bv"
    )
    assert set(re.findall(r'"a"\."(\w+)"', text)) == {"bv", "ra_degrees", "dec_degrees", "hip"}
    assert set(re.findall(r'"b"\."(\w+)"', text)) == {"ra_degrees", "dec_degrees", "hip"}


def test_columns_of_a_region_are_among_them(statement):
    text = statement(
        "SELECT a.hip FROM hipparcos AS a JOIN hipparcos AS b ON "  # noqa: S608 (ours)
        + NEAR.format("a", "b")
        + " WHERE CONTAINS(POINT(a.ra_degrees, a.dec_degrees), CIRCLE(10, 0, 0.1)) = 1"
    )
    assert '"a"."_healpix_29" BETWEEN' in text
    assert re.search(r'SELECT [^()]*"a"\."_healpix_29"', text)


CONE = "CONTAINS(POINT({0}.ra_degrees, {0}.dec_degrees), CIRCLE(10, 0, 0.1)) = 1"


@pytest.mark.parametrize(
    ("tables", "read"),
    [
        ("hipparcos AS a JOIN bigsky AS b ON {ab} WHERE {cone}", {"a", "b"}),
        ("bigsky AS b, hipparcos AS a WHERE {ab} AND {cone}", {"a", "b"}),
        ("hipparcos AS a, hipparcos AS b, hipparcos AS c WHERE {ab} AND {bc} AND {cone}", {"a", "b", "c"}),
        ("hipparcos AS a LEFT JOIN hipparcos AS b ON {ab} WHERE {cone}", {"a"}),
    ],
)
def test_of_the_partners_of_a_region_those_around_it_are_read(tables, read, statement):
    text = tables.format(ab=NEAR.format("a", "b"), bc=NEAR.format("b", "c"), cone=CONE.format("a"))
    assert set(re.findall(r'"(\w)"\."_healpix_29" BETWEEN', statement(f"SELECT a.hip FROM {text}"))) == read  # noqa: S608 (ours)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("hipparcos AS a JOIN hipparcos AS b ON {}", "a"),
        ("hipparcos AS a JOIN bigsky AS b ON {}", "a"),
        ("bigsky AS a JOIN hipparcos AS b ON {}", "b"),
        ("hipparcos AS a LEFT JOIN bigsky AS b ON {}", "b"),
    ],
)
def test_the_smaller_side_is_copied_unless_its_rows_must_stay_single(tables, expected, statement):
    assert copied(statement(f"SELECT a.hip, b.hip AS other FROM {tables.format(NEAR.format('a', 'b'))}")) == [expected]  # noqa: S608 (ours)

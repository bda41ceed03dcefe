"""What a join of near neighbours reads, and which of its sides is copied."""

import re

import pytest

from czar.analyse import NotLocalError, analyse
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


TINY = "{}" + " * 2e-9" * 40 + " < 1e-300"
"""Numbers whose product is nearly nothing."""


@pytest.mark.parametrize(
    "limit", ["{} * 3600 < 3.6", "3.6 >= 3600 * {}", "{} / 2 < 0.0005", "({} * 60) * 60 BETWEEN 1 AND 3.6", "{} * 3 / 3 < 0.001"]
)
def test_a_radius_in_other_units_is_found_by_cells_and_asked_as_it_is_written(limit, statement):
    distance = NEAR.format("a", "b").removesuffix(" < 0.001")
    text = statement(f"SELECT a.hip, b.tycho FROM hipparcos AS a JOIN bigsky AS b ON {limit.format(distance)}")  # noqa: S608 (ours)
    radius = float(re.search(r"qserv\.angular_separation\([^()]*\) <= ([0-9.e-]+)::float8", text)[1])
    assert 0.001 <= radius < 0.001 * (1 + 1e-11)
    assert text.count("qserv.angular_separation(") == 2


@pytest.mark.parametrize("limit", ["{} * -1 < -0.001", "{} * 0 < 0.001", "{} * a.bv < 0.001", "0.001 / {} < 1", TINY])
def test_other_factors_say_nothing_of_the_radius(limit, catalogue):
    distance = NEAR.format("a", "b").removesuffix(" < 0.001")
    text = f"SELECT a.hip, b.tycho FROM hipparcos AS a JOIN bigsky AS b ON {limit.format(distance)}"  # noqa: S608 (ours)
    with pytest.raises(NotLocalError):
        analyse(parse(text), catalogue, text)


COUNTED = "(SELECT COUNT(*) FROM bigsky AS b WHERE {near})"
MEMBER = "EXISTS (SELECT 1 FROM bigsky AS b WHERE {near})"


@pytest.mark.parametrize(
    ("items", "others", "is_listed"),
    [
        (COUNTED, "", True),
        ("a.hip", f"WHERE {COUNTED} > 1", True),
        ("a.hip", f"WHERE a.bv > 1 OR {MEMBER}", True),
        ("a.hip", f"WHERE a.bv > 1 AND {MEMBER}", False),
        ("a.hip", f"WHERE NOT {MEMBER}", False),
        (f"a.hip, {COUNTED}", "GROUP BY a.hip, a.ra_degrees, a.dec_degrees", False),
        ("a.hip, COUNT(*)", f"WHERE {COUNTED} > 1 GROUP BY a.hip", True),
    ],
)
def test_a_subquery_reads_a_list_of_what_is_near_unless_it_is_joined_anyway_or_the_row_is_grouped(
    items, others, is_listed, statement
):
    text = f"SELECT {items} FROM hipparcos AS a {others}".format(near=NEAR.format("a", "b"))  # noqa: S608 (ours)
    assert ("unnest(" in statement(text)) == is_listed


def test_conditions_of_either_side_alone_come_before_the_lists_but_those_that_could_fail(statement):
    counted = f"(SELECT COUNT(*) FROM bigsky AS b WHERE {NEAR.format('a', 'b')} AND b.magnitude < 9)"  # noqa: S608 (ours)
    text = statement(f"SELECT a.hip, {counted} FROM hipparcos AS a WHERE a.hip = 5 AND 1 / a.hip < 1")  # noqa: S608 (ours)
    lists = text[: text.index("AS _lists_0")]
    assert '"a"."hip" = 5' in lists
    assert '"b"."magnitude" < 9' in lists
    assert "1 /" not in lists
    assert text.count('"b"."magnitude" < 9') == 2

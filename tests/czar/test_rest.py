"""What is left of a query after its steps: which rows of them are found by an index."""

import psycopg
import pytest

from czar.analyse import named
from czar.parse import parse
from czar.plan.rest import looked_up, rest
from czar.steps.cut import next_cut
from czar.steps.intermediate import intermediate
from qserv.cluster import SCRATCH_DATABASE, Role


@pytest.fixture
def steps(postgres_cluster):
    """A connection to the scratch database with two steps of the same rows, 400 of each of 50 values of epoch_year."""
    conninfo = postgres_cluster.cluster.metadata.conninfo(Role.SCRATCH, SCRATCH_DATABASE, postgres_cluster.secrets)
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE s0 AS SELECT n AS hip, n::double precision AS bv, (n % 50)::double precision AS epoch_year"
            " FROM GENERATE_SERIES(1::bigint, 20000) AS n"
        )
        connection.execute("CREATE TEMPORARY TABLE s1 AS TABLE s0")
        connection.execute("ANALYZE s0, s1")
        yield connection


def rest_of(text, catalogue):
    """Return what is left of a query over steps s0, s1, ..., all of many rows."""
    query, number = named(parse(text), catalogue, text), 0
    while (cut := next_cut(query, f"s{number}", "")) is not None:
        query, number = cut.with_rows(intermediate(cut.name, cut.step.outputs, is_large=True)), number + 1
    return query


@pytest.mark.parametrize(
    ("value", "indexed"),
    [
        ("SELECT MAX(b.bv) FROM bigsky b WHERE b.epoch_year = h.epoch_year", [("s1", ("k0",))]),
        (
            "SELECT b.bv FROM bigsky b WHERE h.epoch_year = b.epoch_year AND b.hip = h.hip + 1 LIMIT 1",
            [("s1", ("epoch_year", "hip"))],
        ),
        (
            "SELECT MAX(b.bv) FROM bigsky b WHERE b.epoch_year = h.epoch_year HAVING COUNT(*) > 3 AND MIN(b.hip) > h.hip",
            [("s1", ("k0",))],
        ),
        (
            "SELECT COUNT(*) FROM bigsky b WHERE b.magnitude < h.bv AND b.epoch_year = h.epoch_year AND b.bv > h.bv",
            [("s1", ("epoch_year", "magnitude"))],
        ),
        (
            "SELECT COUNT(*) FROM bigsky b WHERE b.hip < h.bv AND b.hip = h.hip AND b.hip > h.bv AND b.hip <> h.bv",
            [("s1", ("hip",))],
        ),
        ("SELECT b.bv FROM bigsky b WHERE b.epoch_year > h.epoch_year LIMIT 1", []),
        ("SELECT b.bv FROM bigsky b WHERE b.epoch_year = 2000 LIMIT 1", []),
    ],
)
def test_rows_that_are_sought_for_each_row_around_have_an_index(value, indexed, catalogue):
    rest = rest_of(f"SELECT h.hip FROM hipparcos h WHERE h.bv > ({value})", catalogue)  # noqa: S608 (the test is about such text)
    assert looked_up(rest) == indexed


@pytest.mark.parametrize(
    ("condition", "indexed"),
    [
        ("b.hip = h.hip OR b.epoch_year = h.bv", [("s1", ("hip",)), ("s1", ("epoch_year",)), ("s0", ("hip",)), ("s0", ("bv",))]),
        ("b.hip = h.hip OR b.bv < h.bv", []),
        ("b.epoch_year = 1991 OR b.epoch_year = 2000", []),
    ],
)
def test_rows_that_are_joined_in_one_way_or_another_have_an_index(condition, indexed, catalogue):
    rest = rest_of(f"SELECT h.hip FROM hipparcos h JOIN bigsky b ON {condition}", catalogue)  # noqa: S608 (as above)
    assert looked_up(rest) == indexed


@pytest.mark.parametrize(
    ("condition", "behind"),
    [
        ("b.bv < h.bv", ("bv",)),
        ("h.hip >= b.bv", ("bv",)),
        ("b.bv BETWEEN h.bv - 1 AND h.bv + 1", ("bv",)),
        ("h.bv BETWEEN b.bv AND h.hip", ("bv",)),
        ("b.bv > CAST(h.hip AS NUMERIC)", ("bv",)),
        ("b.hip > h.hip + 1", ("hip",)),
        ("b.hip <= CAST(h.hip AS INTEGER)", ("hip",)),
        ("b.hip < h.bv", ()),
        ("b.hip < CAST(h.hip AS NUMERIC)", ()),
    ],
)
def test_an_index_is_of_what_is_found_by_it(condition, behind, catalogue, steps):
    value = f"SELECT COUNT(*) FROM bigsky b WHERE b.epoch_year = h.epoch_year AND {condition}"  # noqa: S608 (as above)
    query = rest_of(f"SELECT h.hip, ({value}) FROM hipparcos h", catalogue)  # noqa: S608 (as above)
    assert looked_up(query) == [("s1", ("epoch_year", *behind))]
    (compared,) = behind or ("hip",)
    steps.execute(f"CREATE INDEX ON s1 (epoch_year, {compared})")
    plan = [line for (line,) in steps.execute(f"EXPLAIN (COSTS OFF) {rest(query, None)}")]
    (found,) = [line for line in plan if "Index Cond:" in line]
    assert (f"({compared} " in found or f" {compared})" in found) == bool(behind)

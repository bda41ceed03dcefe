"""NOT IN of a chunk query, which PostgreSQL is to join."""

import pytest

from czar.analyse import analyse
from czar.parse import parse
from czar.plan.build import build
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

"""The columns that a simple query shows are one part of its tree, and those of any other query are not."""

import pytest

from czar.analyse import named
from czar.parse import parse


def items(query, catalogue):
    return named(parse(query), catalogue, query).tree.expressions


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM hipparcos", "SELECT hip, bv FROM hipparcos WHERE hip = 1 LIMIT 3", "SELECT h.* FROM hipparcos AS h OFFSET 2"],
)
def test_columns_of_one_table_are_one_part(query, catalogue):
    assert len(items(query, catalogue)) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT hip, bv FROM hipparcos ORDER BY bv",
        "SELECT hip, bv FROM hipparcos GROUP BY hip, bv",
        "SELECT DISTINCT hip, bv FROM hipparcos",
        "SELECT hip, bv + 1 FROM hipparcos",
        "SELECT a.hip, b.bv FROM hipparcos AS a JOIN hipparcos AS b ON a.hip = b.hip",
        "SELECT hip, bv FROM (SELECT hip, bv FROM hipparcos) AS s",
        "SELECT hip, bv FROM hipparcos WHERE EXISTS (SELECT 1)",
    ],
)
def test_what_later_rules_must_see_stays_apart(query, catalogue):
    assert len(items(query, catalogue)) == 2

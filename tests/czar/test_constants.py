"""Constants have the value that PostgreSQL gives them, or none."""

import pytest
from sqlglot import parse_one

from czar.analyse.constants import number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("-(5)", -5),
        ("1e3", 1000.0),
        ("9007199254740993", 9007199254740993),
        ("CAST(9007199254740993 AS DOUBLE PRECISION)", 9007199254740992.0),
        ("CAST(5 AS BIGINT)", 5),
        ("CAST(16777217 AS REAL)", None),
        ("CAST(2.7 AS INT)", None),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / 0", None),
        ("CAST(' 5' AS INTEGER)", 5),
        ("CAST('5.5' AS INTEGER)", None),
        ("1" + "0" * 5000, float("inf")),
    ],
)
def test_value_is_postgresqls(text, expected):
    found = number(parse_one(text, read="postgres"))
    assert found == expected
    assert type(found) is type(expected)

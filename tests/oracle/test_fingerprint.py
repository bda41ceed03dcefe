"""The corpus is large, and its queries are of many forms."""

import pytest

from tests.oracle.corpora import read_entries
from tests.oracle.fingerprint import fingerprint

CORPUS = read_entries("corpus")

QUERIES, FORMS = 1000, 600


def test_size_of_the_corpus():
    assert len(CORPUS) >= QUERIES
    assert len({fingerprint(entry.statement) for entry in CORPUS.values()}) >= FORMS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT hip FROM t WHERE a < 5 LIMIT 3", "select HIP from T where a < 7.5 limit 10"),
        ("SELECT 1 FROM t WHERE a IN (1, 2, 3)", "SELECT 'x' FROM t WHERE a IN (-4)"),
        ("SELECT in_circle(a, b, 1, 2, 3)", "SELECT in_circle(a, b, -5)"),
        ("SELECT a FROM t -- a comment", "SELECT a FROM t"),
    ],
)
def test_literals_are_not_of_the_form(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE a < 5", "SELECT a FROM t WHERE a > 5"),
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
        ("SELECT a FROM t JOIN u USING (a)", "SELECT a FROM t LEFT JOIN u USING (a)"),
        ("SELECT a FROM t UNION SELECT a FROM u", "SELECT a FROM t UNION ALL SELECT a FROM u"),
        ("SELECT a FROM t WHERE a IN (1, 2)", "SELECT a FROM t WHERE a IN (1, b)"),
    ],
)
def test_all_else_is(one, other):
    assert fingerprint(one) != fingerprint(other)

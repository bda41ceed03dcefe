from pathlib import Path

import pytest
import sqlglot
import yaml
from sqlglot import exp

from qserv.errors import QueryError, QueryLimitError, QuerySyntaxError
from tap.adql import dialect
from tap.adql.parse import parse_adql

HERE = Path(__file__).parent
VALID = yaml.safe_load((HERE / "valid.yaml").read_text())
INVALID = yaml.safe_load((HERE / "invalid.yaml").read_text())


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["adql"][:60])
def test_adql_becomes_postgresql(case):
    assert parse_adql(case["adql"]).sql("postgres") == case["sql"]


@pytest.mark.parametrize("case", [case for case in VALID if "CONTAINS" not in case["adql"]], ids=lambda case: case["adql"][:60])
def test_the_tree_is_of_the_shape_that_sqlglot_reads_from_its_postgresql_text(case):
    tree = parse_adql(case["adql"])
    # sqlglot has a node of its own for CONTAINS; the czar takes ADQL's functions by name
    assert tree == sqlglot.parse_one(tree.sql("postgres"), dialect="postgres")


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case["adql"][:60])
def test_what_is_not_adql_is_refused_with_its_place(case):
    with pytest.raises(QueryError) as caught:
        parse_adql(case["adql"])
    assert case["says"] in str(caught.value)
    assert caught.value.code == case.get("code", "query.syntax")
    assert [caught.value.place.line, caught.value.place.column] == case["place"]


def test_identifiers_keep_their_place():
    tree = parse_adql('SELECT ra,\n  "dé" FROM stars')
    places = {node.name: node.meta for node in tree.find_all(exp.Identifier)}
    assert places["ra"] == {"line": 1, "col": 9, "start": 7, "end": 8}
    assert (places["dé"]["line"], places["dé"]["col"]) == (2, 6)
    assert places["stars"]["start"] == 23


def test_places_are_those_that_sqlglot_writes():
    text = "SELECT abs(x.ra),\n  foo FROM t AS u"
    ours, theirs = parse_adql(text), sqlglot.parse_one(text, dialect="postgres")
    classes = (exp.Identifier, exp.Abs)
    assert [n.meta for n in ours.find_all(*classes)] == [n.meta for n in theirs.find_all(*classes)]


def test_deep_nesting_is_an_error_and_not_a_crash():
    for text in ("(" * 5000 + "a", "- " * 5000 + "a", "ABS(" * 5000 + "a"):
        with pytest.raises(QuerySyntaxError):
            parse_adql("SELECT " + text)
    with pytest.raises(QuerySyntaxError, match="nests deeper"):
        parse_adql("SELECT a FROM t WHERE " + "NOT (" * 5000 + "a = 1")


def test_long_lists_are_read():
    text = "SELECT a FROM t WHERE a IN (" + ", ".join(map(str, range(10_000))) + ")"  # noqa: S608 (no SQL is run)
    assert len(parse_adql(text).find(exp.In).expressions) == 10_000


def test_adql_is_a_dialect_of_sqlglot():
    assert dialect.ADQL
    assert sqlglot.transpile("SELECT TOP 3 LOG(a) FROM t", read="adql", write="postgres") == ["SELECT qserv.ln(a) FROM t LIMIT 3"]


def test_a_text_without_end_is_refused_before_it_is_read():
    with pytest.raises(QueryLimitError, match="longer than 4,000,000 bytes"):
        parse_adql("SELECT a FROM t WHERE a = '" + "x" * 4_000_000 + "'")

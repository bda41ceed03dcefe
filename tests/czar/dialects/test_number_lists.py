"""Long lists of numbers are one part of a tree where IN looks in them, and stay what they are everywhere else."""

# ruff: noqa: S608 (queries of numbers of this file)

import pytest
from sqlglot import exp

from czar.dialects.number_lists import LONG, NUMBERS, shortened
from czar.parse import parse, place_of
from qserv.errors import QuerySyntaxError

KEYS = [2**63 - 1, *range(2 * LONG, LONG, -1), -(2**63)]
LIST = ", ".join(map(str, KEYS))


def members(text):
    return list(parse(text).find_all(exp.In))


@pytest.mark.parametrize("listed", [LIST, LIST.replace(", ", ","), LIST.replace(", ", "\n ,\t"), f"  {LIST}\n", f"{LIST}, 150"])
@pytest.mark.parametrize("form", ["a IN ({})", "a in({})", "NOT (b = 'IN (1)' AND a NOT IN ({}) )", "(a IN ({})) IS NULL"])
def test_a_long_list_is_one_part(form, listed):
    (member,) = members(f"SELECT 1 FROM t WHERE {form.format(listed)} AND c = 1")
    assert member.meta[NUMBERS].tolist() == sorted(set(KEYS))
    assert len(member.expressions) == 1
    assert member.sql("postgres").endswith(f"IN ({', '.join(map(str, sorted(set(KEYS))))})")


def test_several_lists_of_a_query_are_told_apart():
    others = ", ".join(map(str, range(LONG)))
    found = members(f"SELECT '{LIST}' FROM t WHERE a IN ({others}) OR b IN ({LIST}) OR c IN ({others})")
    numbers = {member.this.name: member.meta[NUMBERS].tolist() for member in found}
    assert numbers == {"a": list(range(LONG)), "b": sorted(KEYS), "c": list(range(LONG))}


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT 'a IN ({LIST})' FROM t",
        f"SELECT E'a\\' IN ({LIST})' FROM t",
        f"SELECT $$ a IN ({LIST}) $$ FROM t",
        f'SELECT "a IN ({LIST})" FROM t',
        f"SELECT 1 FROM t WHERE b IN ({LIST}) AND c = 'a IN ({LIST})'",
        f"SELECT POSITION('a' IN ({LIST})) FROM t",
    ],
)
def test_what_only_looks_like_a_list_is_read_as_it_is(text):
    assert LIST in parse(text).sql("postgres", comments=False)


@pytest.mark.parametrize("comment", [f"-- a IN ({LIST})\n", f"/* a IN ({LIST}) */"])
def test_a_list_in_a_comment_is_none(comment):
    assert parse(f"SELECT 1 {comment} FROM t") == parse("SELECT 1 FROM t")


@pytest.mark.parametrize("other", ["9223372036854775808", "1.5", "NULL", "0x1F", "1e3", "b", "1 + 1", "(1)", "'1'", "- 1"])
def test_a_list_of_anything_else_has_its_parts(other):
    (member,) = members(f"SELECT 1 FROM t WHERE a IN ({LIST}, {other})")
    assert NUMBERS not in member.meta
    assert len(member.expressions) == len(KEYS) + 1


def test_a_short_list_has_its_parts():
    assert shortened(f"SELECT a IN ({', '.join(['1234'] * (LONG - 1))}) FROM t") is None


def test_places_behind_a_list_are_those_of_the_text():
    text = f"SELECT 1 FROM t WHERE a IN (\n{LIST}) AND\n  b = 1"
    column = next(node for node in parse(text).find_all(exp.Column) if node.name == "b")
    assert (place_of(column, text).line, place_of(column, text).column) == (3, 3)
    with pytest.raises(QuerySyntaxError) as met:
        parse(f"SELECT 1 FROM t WHERE a IN (\n{LIST}) AND\n  b = = 1")
    assert met.value.place.line == 3

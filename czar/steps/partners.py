"""What the rows that are known say of a table that they are joined with: only rows with the same values are read of it."""

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from czar.analyse.inner_conditions import conditions_before
from czar.analyse.lists import listed
from czar.analyse.nesting import relations
from czar.analyse.query import Query

MOST_VALUES: Final = 1_000
"""Longest list that is written into the query for each chunk."""


def known_values(query: Query, select: exp.Select, alias: str) -> list[exp.Expr]:
    """Return, as conditions on a table of FROM, the whole numbers that its columns are equated with in rows of steps or VALUES.

    The other rows may be of the same FROM, or of a query around.
    """
    found: list[exp.Expr] = []
    for condition in conditions_before(select, alias):
        if not isinstance(condition, exp.EQ):
            continue
        for column, other in ((condition.left, condition.right), (condition.right, condition.left)):
            if (
                not isinstance(column, exp.Column)
                or not isinstance(other, exp.Column)
                or column.table != alias
                or other.table == alias
            ):
                continue
            rows = listed(query, _defining(select, other.table), other)
            if rows is None or any(isinstance(value, float) for (value,) in rows):
                continue
            values = sorted({value for (value,) in rows if value is not None})
            if len(values) <= MOST_VALUES:
                constants = [exp.Literal.number(value) for value in values]
                found.append(exp.In(this=column.copy(), expressions=constants) if constants else exp.false())
    return found


def _defining(select: exp.Select, alias: str) -> exp.Select:
    """Return the SELECT, this one or one around it, whose FROM has an alias."""
    return next((each for each in _around(select) if any(node.alias_or_name == alias for node in relations(each))), select)


def _around(select: exp.Select) -> Iterator[exp.Select]:
    each: exp.Select | None = select
    while each is not None:
        yield each
        each = each.find_ancestor(exp.Select)

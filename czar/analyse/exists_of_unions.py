"""Rule: EXISTS of a UNION that reads rows of other chunks is EXISTS of one of its sides or of another.

Each side is then answered by itself: inside of the chunk query, or as a step whose rows are hashed. Of a UNION, PostgreSQL would
make all rows for each row outside.
"""

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.inner_conditions import datatype_of
from czar.analyse.locality import NotLocalError, locality_of
from czar.analyse.necessity import branches
from czar.analyse.nesting import parts
from czar.analyse.query import Query

BESIDE = ("with_", "limit", "offset")
"""Clauses of a set operation, or of parentheses, that change what is in them."""


def exists_of_unions(query: Query) -> Query:
    """Ask for each side of a UNION by itself, in a query that is not answered chunk by chunk."""
    found = [(part, sides) for part in parts(query.tree) if isinstance(part, exp.Exists) and (sides := _sides(query, part))]
    if found and not _is_local(query):
        for exists, sides in found:
            each = [exp.Exists(this=side.copy()) for side in sides]
            exists.replace(exp.Paren(this=exp.or_(*each, copy=False)))
    return query


def _sides(query: Query, exists: exp.Exists) -> list[exp.Select]:
    """Return the SELECTs of one of which a row must be there, if no operation or conversion is between them and EXISTS."""
    around = [part for part in parts(exists.this, exp.Select) if isinstance(part, exp.SetOperation | exp.Subquery)]
    if any(isinstance(part, exp.Except | exp.Intersect) or any(map(part.args.get, BESIDE)) for part in around):
        return []
    first, *others = sides = branches(exists.this)
    shown = _kinds(query, first)
    return sides if others and None not in shown and all(_kinds(query, other) == shown for other in others) else []


def _kinds(query: Query, select: exp.Select) -> list[object]:
    """Return what the columns of a SELECT are, by which others must be of the same type; None where that is not known."""
    items = enumerate(select.expressions)
    return ["number" if number(item.unalias()) is not None else datatype_of(query, select, place) for place, item in items]


def _is_local(query: Query) -> bool:
    try:
        locality_of(query).of_rows(query.tree)
    except NotLocalError:
        return False
    return True

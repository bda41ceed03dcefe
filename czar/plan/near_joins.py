"""Joins of near neighbours in a tree -> joins that PostgreSQL hashes, by cells of the sky (`czar.plan.neighbours`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.nesting import body, conjuncts, joins, relations, selects
from czar.analyse.query import opaque
from czar.analyse.separations import Near, near_of
from czar.plan.neighbours import Side, Within, neighbours
from schema.physical import quote

FORMS: dict[type[exp.Expr], Within] = {exp.LT: Within.BELOW, exp.GT: Within.BELOW, exp.LTE: Within.AT_MOST, exp.GTE: Within.AT_MOST}
"""How a comparison with the radius is tested; any other form is a test of a circle, or of a closed interval."""


@dataclass(frozen=True)
class _Join:
    condition: exp.Expr
    near: Near
    first: str
    second: str


def with_cells(tree: exp.Expr, texts: Mapping[str, str]) -> dict[str, str]:
    """Replace conditions that keep two tables of one FROM near each other, in place.

    Parameters
    ----------
    tree
        A whole query, whose tables have different aliases.
    texts
        What each table is in SQL, by alias.

    Returns
    -------
    dict
        The same, with the cells of those that are joined.
    """
    found = dict(texts)
    for number, join in enumerate(
        join for select in selects(tree) for join in (*_near_joins(select, texts), *_near_members(select, texts))
    ):
        sides = {
            alias: Side(found[alias], alias, *(f"{quote(alias)}.{quote(name)}" for name in position[1:]))
            for alias, position in ((point[0], point) for point in (join.near.left, join.near.right))
        }
        within = FORMS.get(type(join.condition), Within.AT_MOST if isinstance(join.condition, exp.Between) else Within.IN_CIRCLE)
        made = neighbours(sides[join.first], sides[join.second], join.near.limit_deg, within, number=number)
        found |= {join.first: _without_alias(made.first, join.first), join.second: _without_alias(made.second, join.second)}
        condition = opaque(f"({made.condition})")
        if isinstance(join.condition, exp.Between):
            condition = exp.Paren(this=exp.and_(condition, join.condition.copy(), copy=False))
        join.condition.replace(condition)
    return found


def _near_joins(select: exp.Select, texts: Mapping[str, str]) -> list[_Join]:
    """Return the near neighbours of one FROM: the first of the two is the one that comes first in it."""
    order = [node.alias_or_name for node in relations(select) if isinstance(node, exp.Table)]
    sides = {join.this.alias_or_name: join.side for join in joins(select)}
    where = select.args.get("where")
    places = [(condition, "") for condition in conjuncts(where.this if where else None)]
    for join in joins(select):
        places += [(condition, join.this.alias_or_name if join.side else "") for condition in conjuncts(join.args.get("on"))]
    found = []
    for condition, added in places:
        near = near_of(condition)
        if near is None or not {near.left[0], near.right[0]} <= set(order) & set(texts):
            continue
        first, second = sorted((near.left[0], near.right[0]), key=order.index)
        # The second side is copied: an outer join may keep the rows of the first one alone.
        if {sides.get(alias, "") for alias in order} <= {"", "LEFT"} and added in {"", second}:
            found.append(_Join(condition, near, first, second))
    return found


def _near_members(select: exp.Select, texts: Mapping[str, str]) -> list[_Join]:
    """Return the near neighbours of rows of FROM that [NOT] EXISTS as conditions of WHERE ask for: PostgreSQL joins them, too."""
    around = {node.alias for node in relations(select) if isinstance(node, exp.Table)} & set(texts)
    where = select.args.get("where")
    found = []
    for condition in conjuncts(where.this if where else None):
        asked = condition.this.unnest() if isinstance(condition, exp.Not) else condition
        inner = body(asked.this) if isinstance(asked, exp.Exists) else None
        if not isinstance(inner, exp.Select) or not inner.args.get("where") or {join.side for join in joins(inner)} - {"", "LEFT"}:
            continue
        inside = {node.alias for node in relations(inner) if isinstance(node, exp.Table)} & set(texts)
        for part in conjuncts(inner.args["where"].this):
            near = near_of(part)
            for first, second in ((near.left[0], near.right[0]), (near.right[0], near.left[0])) if near else ():
                if first in around and second in inside and near:
                    found.append(_Join(part, near, first, second))
    return found


def _without_alias(text: str, alias: str) -> str:
    return text.removesuffix(f" AS {quote(alias)}")

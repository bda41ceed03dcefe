"""Joins of near neighbours in a tree -> joins that PostgreSQL hashes, by cells of the sky (`czar.plan.neighbours`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.nearest import is_grouped_by_nearness
from czar.analyse.nesting import conjuncts, joins, parts, relations, selects
from czar.analyse.query import Source, columns_in, opaque
from czar.analyse.separations import Near, near_of
from czar.plan.near_rows import arrays_of, asked, sought_near, with_arrays
from czar.plan.neighbours import Side, Within, neighbours
from czar.steps.intermediate import Intermediate
from schema.physical import quote

FORMS: dict[type[exp.Expr], Within] = {exp.LT: Within.BELOW, exp.GT: Within.BELOW, exp.LTE: Within.AT_MOST, exp.GTE: Within.AT_MOST}
"""How a comparison with the radius is tested; any other form that says no more is a test of a circle."""


OVERLAP_SHARE = 0.5
"""Rows of the overlap of a chunk for each of its own, roughly; it decides nothing but which rows are copied."""


@dataclass(frozen=True)
class _Join:
    condition: exp.Expr
    near: Near
    first: str
    second: str
    inner: bool


def with_cells(tree: exp.Expr, texts: Mapping[str, str], tables: Mapping[str, Source]) -> dict[str, str]:
    """Replace conditions that keep two tables of one FROM near each other, in place.

    Parameters
    ----------
    tree
        A whole query, whose tables have different aliases.
    texts
        What each table is in SQL, by alias.
    tables
        The same tables in the catalogue.

    Returns
    -------
    dict
        The same as ``texts``, with the cells of those that are joined.
    """
    found = dict(texts)
    near_joins = [join for select in selects(tree) for join in (*_near_joins(select, texts), *_near_members(select, texts))]
    near_rows = sought_near(tree, texts, tables)
    columns = _columns(tree) if near_joins or near_rows else {}
    for number, join in enumerate(near_joins):
        sides = {
            alias: Side(found[alias], alias, *_position(alias, ra, dec), tuple(columns[alias]))
            for alias, ra, dec in (join.near.left, join.near.right)
        }
        within = FORMS.get(type(join.condition), Within.IN_CIRCLE) if join.near.is_all else Within.AT_MOST
        made = neighbours(
            sides[join.first],
            sides[join.second],
            join.near.limit_deg,
            within,
            number=number,
            copies_first=join.inner and _rows(tables[join.first]) < _rows(tables[join.second]),
        )
        found |= {join.first: _without_alias(made.first, join.first), join.second: _without_alias(made.second, join.second)}
        columns[join.first] |= dict.fromkeys(made.first_adds)
        columns[join.second] |= dict.fromkeys(made.second_adds)
        condition = opaque(f"({made.condition})")
        if not join.near.is_all:
            condition = exp.Paren(this=exp.and_(condition, join.condition.copy(), copy=False))
        join.condition.replace(condition)
    for number, sought in enumerate(near_rows, len(near_joins)):
        found |= with_arrays(sought, found, columns, number)
        columns[sought.around] |= dict.fromkeys(arrays_of(sought, columns, number))
    return found


def _position(alias: str, ra: str, dec: str) -> tuple[str, str]:
    return f"{quote(alias)}.{quote(ra)}", f"{quote(alias)}.{quote(dec)}"


def _columns(tree: exp.Expr) -> dict[str, dict[str, None]]:
    """Return the columns that a tree reads, by the alias of their table."""
    found: dict[str, dict[str, None]] = {}
    for part in parts(tree):
        if isinstance(part, exp.Column) and part.table:
            found.setdefault(part.table, {})[part.name] = None
        elif isinstance(part, exp.Var):
            for alias, column in columns_in(part.name):
                found.setdefault(alias, {})[column] = None
    return found


def _rows(source: Source) -> float:
    """Return about how many rows a table has that are read; infinity if that is not known."""
    entry = source.entry
    if isinstance(entry, Intermediate) and entry.rows is None:
        return math.inf
    return entry.row_count * (1 + OVERLAP_SHARE * source.overlap)


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
        if near is None or is_grouped_by_nearness(condition) or not {near.left[0], near.right[0]} <= set(order) & set(texts):
            continue
        first, second = sorted((near.left[0], near.right[0]), key=order.index)
        # The second side is copied: an outer join may keep the rows of the first one alone.
        if {sides.get(alias, "") for alias in order} <= {"", "LEFT"} and added in {"", second}:
            found.append(_Join(condition, near, first, second, inner=not added and "LEFT" not in sides.values()))
    return found


def _near_members(select: exp.Select, texts: Mapping[str, str]) -> list[_Join]:
    """Return the near neighbours of rows of FROM that [NOT] EXISTS as conditions of WHERE ask for: PostgreSQL joins them, too."""
    around = {node.alias for node in relations(select) if isinstance(node, exp.Table)} & set(texts)
    found = []
    for inner in asked(select):
        if not inner.args.get("where") or {join.side for join in joins(inner)} - {"", "LEFT"}:
            continue
        inside = {node.alias for node in relations(inner) if isinstance(node, exp.Table)} & set(texts)
        for part in conjuncts(inner.args["where"].this):
            near = None if is_grouped_by_nearness(part) else near_of(part)
            for first, second in ((near.left[0], near.right[0]), (near.right[0], near.left[0])) if near else ():
                if first in around and second in inside and near:
                    found.append(_Join(part, near, first, second, inner=False))
    return found


def _without_alias(text: str, alias: str) -> str:
    return text.removesuffix(f" AS {quote(alias)}")

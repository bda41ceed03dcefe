"""What is left of a query after its steps -> PostgreSQL text for the scratch database."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.nesting import conjuncts, disjuncts, free_aliases, joins, relations, selects
from czar.analyse.query import Query
from czar.plan.build import keeps_ties, window_of
from czar.plan.members import excluded_by_joins
from czar.plan.near_joins import with_cells
from czar.plan.near_rows import SoughtNear, sought_near
from czar.plan.numbers import Numbers, numbers_of
from czar.plan.select import canonical_tree, numbered, orderings
from schema.physical import quote

WHOLE: Final = frozenset({Kind.INTEGER, Kind.BIGINT})
FRACTIONS: Final = frozenset({Kind.FLOAT, Kind.NUMERIC})
INDEXED: Final = WHOLE | {Kind.FLOAT, Kind.TIME}

ORDERS: Final = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between)

Compared = tuple[exp.Column, exp.Expr]


def rest(query: Query, max_rows: int | None) -> str:
    """Return the SQL of a query over intermediate tables alone; ``max_rows`` caps the rows of the answer."""
    tree = numbered(canonical_tree(query.tree, numbers_of(query)))
    terms = orderings(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    limit = window_of(query, max_rows).limit
    if limit is not None and not keeps_ties(tree):
        tree.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    excluded_by_joins(tree, query.tables)
    named = [node for node in tree.find_all(exp.Table) if node.alias in query.tables]
    texts = with_cells(tree, {node.alias: quote(node.name) for node in named}, query.tables)
    for node in named:
        node.set("this", exp.Var(this=texts[node.alias]))
    return tree.sql("postgres", comments=False, copy=False)


def looked_up(query: Query) -> list[tuple[str, tuple[str, ...]]]:
    """Return the steps of which rows are sought anew for each row of something else, and the columns by whose values they are.

    They are those that are equated, and behind them the first one that is compared by order. All are numbers and times: a text can
    be too long for an index.
    """
    numbers = numbers_of(query)
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    by_row = [each for select in selects(query.tree) for each in _sought(select)]
    near = sought_near(query.tree, dict.fromkeys(query.tables, ""), query.tables)
    for sought in by_row + [_joined_with(each) for each in near]:
        equated, ordered = (
            [column for column, other in pairs if column.table in query.tables and _is_found(numbers, column, other)]
            for pairs in (sought.equated, sought.ordered)
        )
        for alias in dict.fromkeys(column.table for column in equated):
            names = dict.fromkeys(column.name for column in equated if column.table == alias)
            behind = [column.name for column in ordered if column.table == alias and column.name not in names]
            found[query.tables[alias].entry.table.name, (*names, *behind[:1])] = None
    return list(found)


def _is_found(numbers: Numbers, column: exp.Column, other: exp.Expr) -> bool:
    """Whether an index finds rows by a column that is compared with another value: not if whole numbers become others for that."""
    return numbers.kind(column) in INDEXED and (numbers.kind(column) not in WHOLE or numbers.kind(other) not in FRACTIONS)


@dataclass(frozen=True)
class _Sought:
    """Columns by which rows are sought, each with the value that it is compared with."""

    equated: list[Compared]
    ordered: list[Compared]


def _sought(select: exp.Select) -> Iterator[_Sought]:
    """Yield columns by which rows of a FROM are sought together.

    That is done for each row of a query around a subquery that is a value; and for each row that is joined with others by one
    equality or another one, which PostgreSQL cannot hash.
    """
    aliases = {relation.alias_or_name for relation in relations(select)}
    where = select.args.get("where")
    conditions = conjuncts(where.this if where else None)
    if isinstance(select.parent, exp.Subquery):
        yield _compared(conditions, aliases)
    for condition in conditions + [part for join in joins(select) for part in conjuncts(join.args.get("on"))]:
        if isinstance(condition, exp.Or):
            for alias in sorted(aliases):
                ways = [_compared(conjuncts(way), {alias}) for way in disjuncts(condition)]
                if all(way.equated for way in ways):
                    yield from ways


def _joined_with(near: SoughtNear) -> _Sought:
    """Return the columns by which rows are joined with the few that are near a row, whose number PostgreSQL does not know."""
    where = near.inner.args.get("where")
    conditions = conjuncts(where.this if where else None)
    conditions += [part for join in joins(near.inner) for part in conjuncts(join.args.get("on"))]
    return _compared(conditions, {relation.alias_or_name for relation in relations(near.inner)} - {near.alias})


def _compared(conditions: list[exp.Expr], aliases: set[str]) -> _Sought:
    """Return the columns of some relations that conditions compare with something of others."""

    def found(kinds: tuple[type[exp.Expr], ...]) -> list[Compared]:
        return [
            (column, other)
            for part in conditions
            if isinstance(part, kinds)
            for column, other in _sides(part)
            if isinstance(column, exp.Column)
            and column.table in aliases
            and (around := free_aliases(other))
            and not around & aliases
        ]

    return _Sought(found((exp.EQ,)), found(ORDERS))


def _sides(part: exp.Expr) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return what a comparison compares, both ways round."""
    first, *others = part.iter_expressions()
    return [sides for other in others for sides in ((first, other), (other, first))]

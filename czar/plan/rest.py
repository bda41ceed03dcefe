"""What is left of a query after its steps -> PostgreSQL text for the scratch database."""

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.nesting import conjuncts, disjuncts, free_aliases, joins, relations, selects
from czar.analyse.query import Query
from czar.plan.build import keeps_ties, window_of
from czar.plan.near_joins import with_cells
from czar.plan.numbers import numbers_of
from czar.plan.select import canonical_tree, numbered, orderings
from schema.physical import quote

INDEXED: Final = frozenset({Kind.INTEGER, Kind.BIGINT, Kind.FLOAT, Kind.TIME})


def rest(query: Query, max_rows: int | None) -> str:
    """Return the SQL of a query over intermediate tables alone; ``max_rows`` caps the rows of the answer."""
    tree = numbered(canonical_tree(query.tree, numbers_of(query)))
    terms = orderings(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    limit = window_of(query, max_rows).limit
    if limit is not None and not keeps_ties(tree):
        tree.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    named = [node for node in tree.find_all(exp.Table) if node.alias in query.tables]
    texts = with_cells(tree, {node.alias: quote(node.name) for node in named}, query.tables)
    for node in named:
        node.set("this", exp.Var(this=texts[node.alias]))
    return tree.sql("postgres", comments=False, copy=False)


def looked_up(query: Query) -> list[tuple[str, tuple[str, ...]]]:
    """Return the steps of which rows are sought anew for each row of something else, and the columns by whose values they are.

    The columns are numbers and times: a text can be too long for an index.
    """
    numbers = numbers_of(query)
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for sought in [columns for select in selects(query.tree) for columns in _sought(select)]:
        columns = [column for column in sought if column.table in query.tables and numbers.kind(column) in INDEXED]
        for alias in dict.fromkeys(column.table for column in columns):
            names = tuple(column.name for column in columns if column.table == alias)
            found[query.tables[alias].entry.table.name, names] = None
    return list(found)


def _sought(select: exp.Select) -> Iterator[list[exp.Column]]:
    """Yield columns by which rows of a FROM are sought together.

    That is done for each row of a query around a subquery that is a value; and for each row that is joined with others by one
    equality or another one, which PostgreSQL cannot hash.
    """
    aliases = {relation.alias_or_name for relation in relations(select)}
    where = select.args.get("where")
    conditions = conjuncts(where.this if where else None)
    if isinstance(select.parent, exp.Subquery):
        yield _equated(conditions, aliases)
    for condition in conditions + [part for join in joins(select) for part in conjuncts(join.args.get("on"))]:
        if isinstance(condition, exp.Or):
            for alias in sorted(aliases):
                ways = [_equated(conjuncts(way), {alias}) for way in disjuncts(condition)]
                if all(ways):
                    yield from ways


def _equated(conditions: list[exp.Expr], aliases: set[str]) -> list[exp.Column]:
    """Return the columns of some relations that conditions equate with something of others."""
    equalities = [part for part in conditions if isinstance(part, exp.EQ)]
    sides = [sides for part in equalities for sides in ((part.left, part.right), (part.right, part.left))]
    found = [
        column
        for column, other in sides
        if isinstance(column, exp.Column) and column.table in aliases and (around := free_aliases(other)) and not around & aliases
    ]
    return list(dict.fromkeys(found))

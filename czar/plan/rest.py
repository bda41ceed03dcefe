"""What is left of a query after its steps -> PostgreSQL text for the scratch database."""

from typing import Final

from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.nesting import conjuncts, free_aliases, relations, selects
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
    """Return the steps of which rows are sought anew for each row of a query around, and the columns by whose values they are.

    That is so for subqueries that are values. The columns are numbers and times: a text can be too long for an index.
    """
    numbers = numbers_of(query)
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for select in selects(query.tree):
        where = select.args.get("where")
        if where is None or not isinstance(select.parent, exp.Subquery) or not free_aliases(select):
            continue
        aliases = {relation.alias_or_name for relation in relations(select)}
        columns = dict.fromkeys(
            column
            for equality in conjuncts(where.this)
            if isinstance(equality, exp.EQ)
            for column, other in ((equality.left, equality.right), (equality.right, equality.left))
            if isinstance(column, exp.Column)
            and column.table in aliases & query.tables.keys()
            and not free_aliases(other) & aliases
            and numbers.kind(column) in INDEXED
        )
        for alias in dict.fromkeys(column.table for column in columns):
            names = tuple(column.name for column in columns if column.table == alias)
            found[query.tables[alias].entry.table.name, names] = None
    return list(found)

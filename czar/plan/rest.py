"""What is left of a query after its steps -> PostgreSQL text for the scratch database."""

from sqlglot import exp

from czar.analyse.query import Query
from czar.plan.build import keeps_ties, window_of
from czar.plan.near_joins import with_cells
from czar.plan.numbers import numbers_of
from czar.plan.select import canonical_tree, numbered, orderings
from schema.physical import quote


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

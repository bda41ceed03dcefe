"""What is left of a query after its steps -> PostgreSQL text for the scratch database."""

from sqlglot import exp

from czar.analyse.query import Query
from czar.plan.build import window_of
from czar.plan.select import canonical_tree, numbered, orderings


def rest(query: Query, max_rows: int | None) -> str:
    """Return the SQL of a query over intermediate tables alone; ``max_rows`` caps the rows of the answer."""
    tree = numbered(canonical_tree(query.tree))
    terms = orderings(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    limit = window_of(query, max_rows).limit
    tree = tree.limit(limit, copy=False) if limit is not None else tree
    return tree.sql("postgres", comments=False)

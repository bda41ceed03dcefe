"""Rule: the columns that a simple query shows become one part of its tree, which no later rule looks into.

``SELECT *`` of a table of 66 columns has 66 items of three nodes each. Nothing depends on them where a single table is read and
no row is grouped, sorted or compared with another one, but every walk through the tree passes them: two thirds of
planning a look-up.
"""

from sqlglot import exp

from czar.analyse.nesting import own, relations
from czar.analyse.query import Query, opaque
from schema.physical import quote

CLAUSES = {"kind", "hint", "expressions", "from_", "where", "limit", "offset"}
"""What the query may have."""


NAMED = "named"
"""Mark of the part."""


def plain_items(query: Query) -> Query:
    """Put the items of a query of one table, if they are columns, in one."""
    tree = query.tree
    items = tree.expressions
    if query.is_step or len(query.sources) != 1:
        return query
    if any(value and clause not in CLAUSES for clause, value in tree.args.items()):
        return query
    if any(type(item) is not exp.Column for item in items) or not isinstance(relations(tree)[0], exp.Table):
        return query
    if any(own(tree.args[clause], exp.Query) for clause in ("where", "limit", "offset") if tree.args.get(clause)):
        return query
    texts = [f"{quote(item.table)}.{quote(item.name)} AS c{index}" for index, item in enumerate(items)]
    part = opaque(", ".join(texts))
    part.meta[NAMED] = True
    tree.set("expressions", [part])
    return query


def is_named(item: exp.Expr) -> bool:
    """Whether an item is such a part, in which the columns have their names c0, c1, ... already."""
    return isinstance(item, exp.Var) and bool(item.meta.get(NAMED))

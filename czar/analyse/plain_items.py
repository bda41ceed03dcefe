"""Rule: the columns that a simple query shows become one part of its tree, which no later rule looks into.

``SELECT *`` of a table of 66 columns has 66 items of three nodes each. Nothing depends on them where a single table is read and
no row is grouped, sorted or compared with another one, but every walk through the tree passes them: two thirds of
planning a look-up.
"""

from sqlglot import exp

from czar.analyse.nesting import own, relations
from czar.analyse.query import Query, opaque
from czar.analyse.scope import Scope, numbered

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
    if all(type(item) is exp.Column for item in items) and _is_simple(tree):
        tree.set("expressions", [_part(numbered((item.table, item.name) for item in items))])
    return query


def plain_star(tree: exp.Select, scope: Scope) -> exp.Expr | None:
    """Return the part for ``*``, if that is all that a simple query shows: then no node is made for any column."""
    if len(tree.expressions) == 1 and isinstance(tree.expressions[0], exp.Star) and scope.relations and _is_simple(tree):
        (relation,) = scope.relations
        return _part(relation.numbered)
    return None


def _is_simple(tree: exp.Select) -> bool:
    """Whether a query reads one table, and has nothing but conditions and counts."""
    if any(value and clause not in CLAUSES for clause, value in tree.args.items()) or not isinstance(relations(tree)[0], exp.Table):
        return False
    return not any(own(tree.args[clause], exp.Query) for clause in ("where", "limit", "offset") if tree.args.get(clause))


def _part(columns: str) -> exp.Expr:
    """Return the part for columns."""
    part = opaque(columns)
    part.meta[NAMED] = True
    return part


def is_named(item: exp.Expr) -> bool:
    """Whether an item is such a part, in which the columns have their names c0, c1, ... already."""
    return isinstance(item, exp.Var) and bool(item.meta.get(NAMED))

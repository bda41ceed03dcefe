"""Plan of a query without aggregates: rows come from the chunks as they are; DISTINCT, ORDER BY and LIMIT are done twice."""

from dataclasses import replace

from sqlglot import exp

from czar.analyse.query import Query
from czar.plan.model import ChunkStep, Plan
from czar.plan.numbers import numbers_of
from czar.plan.select import Window, canonical_tree, carrying, numbered, ordering_sql, orderings, shown
from czar.plan.template import chunk_query
from qserv.errors import QueryError


def scan(plan: Plan, query: Query, window: Window) -> Plan:
    """Return the plan of a scan. With ORDER BY and LIMIT each chunk sends its own first rows.

    Raises
    ------
    QueryError
        DISTINCT with an ORDER BY of something that is not selected.
    """
    numbers = numbers_of(query)
    carried = numbers.carried(query.tree.expressions)
    tree = query.tree.copy()
    for term in orderings(tree):
        # What orders the rows is merged as what is shown: a sum as a bigint.
        if term.this not in tree.expressions:
            term.set("this", shown(term.this, numbers))
    tree = canonical_tree(tree, numbers)
    columns = [f"c{index}" for index in range(len(tree.expressions))]
    terms = orderings(tree)
    items = [item.copy() for item in tree.expressions] if terms else []
    distinct = bool(tree.args.get("distinct"))
    hidden: list[exp.Expr] = []
    ordered: list[tuple[str, exp.Ordered]] = []
    for term in terms:
        if term.this in items and items.index(term.this) not in carried:
            ordered.append((columns[items.index(term.this)], term))
            continue
        if distinct:
            msg = f"SELECT DISTINCT can be ordered by selected columns alone, not by {term.this.sql('postgres')}"
            raise QueryError(msg)
        ordered.append((f"o{len(hidden)}", term))
        hidden.append(exp.alias_(term.this.copy(), f"o{len(hidden)}"))
    tree = numbered(tree)
    for clause in ("order", "limit", "offset"):
        tree.set(clause, None)
    tree.set("expressions", [*tree.expressions, *hidden])
    if window.reach is not None:
        if ordered:
            tree.set("order", exp.Order(expressions=[_by_name(name, term) for name, term in ordered]))
        tree.set("limit", exp.Limit(expression=exp.Literal.number(window.reach)))
    template, slots = chunk_query(carrying(tree, carried), query.tables)
    plan = replace(plan, step=ChunkStep(template, slots, tuple(query.chunks.tolist()), query.chunk_keys), carried=carried)
    if not ordered and not distinct:
        return replace(plan, offset=window.offset, limit=window.limit)
    select = "SELECT DISTINCT" if distinct else "SELECT"
    combine = f"{select} {', '.join(columns)} FROM partials{ordering_sql(ordered)}{window.sql()}"
    return replace(plan, combine=combine)


def _by_name(name: str, term: exp.Ordered) -> exp.Ordered:
    """Return the term over an output column, which PostgreSQL sorts without computing the expression twice."""
    return exp.Ordered(this=exp.column(name), desc=term.args.get("desc"), nulls_first=term.args.get("nulls_first"))

"""What the forms of a plan share: numbered output columns, ordering, the window of LIMIT and OFFSET."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.functions import node_function
from czar.analyse.nesting import own, parts
from czar.analyse.plain_items import is_named
from czar.plan.aggregates import changed, in_double, summand, widened
from czar.plan.moments import VARIANCES
from czar.plan.numbers import Numbers, aggregate_of
from czar.plan.sets import spelled_out
from qserv.errors import NotYetSupportedError

MAX_BIGINT = 2**63 - 1
"""Largest LIMIT that PostgreSQL takes."""


@dataclass(frozen=True)
class Window:
    """Rows of the ordered answer to return: ``limit`` of them (None for all), after ``offset``."""

    offset: int = 0
    limit: int | None = None

    @property
    def reach(self) -> int | None:
        """How many rows each chunk must send at the most."""
        return None if self.limit is None else min(self.offset + self.limit, MAX_BIGINT)

    def sql(self) -> str:
        """Return LIMIT and OFFSET, or nothing."""
        limit = "" if self.limit is None else f" LIMIT {self.limit}"
        return limit + (f" OFFSET {self.offset}" if self.offset else "")


def canonical_tree(tree: exp.Select, numbers: Numbers) -> exp.Select:
    """Give every aggregate, in place, the form whose type does not depend on the plan: see `computed` and `shown`."""
    terms = [tree.args.get("order"), (tree.args.get("distinct") or exp.Distinct()).args.get("on")]
    items = [item.copy() for item in tree.expressions] if any(terms) else []
    for group in [part for part in parts(tree) if isinstance(part, exp.Group)]:
        spelled_out(group)
    tree.set("expressions", [shown(item, numbers) for item in tree.expressions])
    for term in [term for clause in terms if clause for term in clause.expressions]:
        node = term.this if isinstance(term, exp.Ordered) else term
        if node in items:
            node.replace(shown(node.copy(), numbers))
    computed(tree)
    return tree


def computed(node: exp.Expr) -> exp.Expr:
    """Let aggregates be computed, in place, as part of an expression: REAL in double precision, integers as PostgreSQL does."""
    for aggregate in [part for part in parts(node) if isinstance(part, (exp.Sum, exp.Avg, *VARIANCES))]:
        changed(aggregate, summand if isinstance(aggregate, exp.Sum | exp.Avg) else in_double)
    return node


def shown(item: exp.Expr, numbers: Numbers, written: exp.Expr | None = None) -> exp.Expr:
    """Return an item as a column of the answer, in which a sum of integers is a bigint, unlike in a step; its other aggregates are
    left.

    ``written`` is the item as the query has it, if that is not the same.
    """
    if numbers.is_step or not numbers.is_sum(item if written is None else written):
        return item
    call = aggregate_of(item)
    if isinstance(call, exp.Sum) and not numbers.may_be_numeric(call.this):
        changed(call, widened)
    return node_function("total", item)


def numbered(tree: exp.Select) -> exp.Select:
    """Give the items of SELECT the names c0, c1, ..., in place: those of the user may be of any form, or twice the same."""
    tree.set("expressions", [_named(item, exp.Identifier(this=f"c{index}")) for index, item in enumerate(tree.expressions)])
    return tree


def _named(item: exp.Expr, name: exp.Identifier) -> exp.Expr:
    """Return an item under another name; sqlglot's ``alias_`` reads names as SQL, which takes a third of planning a small query."""
    if is_named(item):
        return item
    if isinstance(item, exp.Alias):
        item.set("alias", name)
        return item
    return exp.Alias(this=item, alias=name)


def carrying(tree: exp.Select, places: Collection[int]) -> exp.Select:
    """Return a statement that shows the columns of another one, those at some places as they are sent to the readers of a step."""
    if not places:
        return tree
    names = [item.alias for item in tree.expressions]
    items = [
        exp.alias_(node_function("carried", exp.column(name)), name) if place in places else exp.column(name)
        for place, name in enumerate(names)
    ]
    inside = exp.Subquery(this=tree, alias=exp.TableAlias(this=exp.to_identifier("step")))
    return exp.Select(expressions=items, from_=exp.From(this=inside))


def orderings(tree: exp.Select) -> list[exp.Ordered]:
    """Return the terms of ORDER BY that order anything: constants do not, and PostgreSQL would take them for positions."""
    order = tree.args.get("order")
    terms = order.expressions if order else []
    for term in terms:
        if term.args.get("with_fill"):
            msg = "not yet supported: WITH FILL"
            raise NotYetSupportedError(msg)
    return [term for term in terms if own(term.this, exp.Column, exp.AggFunc, exp.Query, exp.Window)]


def ordering_sql(terms: list[tuple[str, exp.Ordered]]) -> str:
    """Return ORDER BY over named columns, the place of NULL spelled out, or nothing."""
    if not terms:
        return ""
    parts = [
        f"{name} {'DESC' if term.args.get('desc') else 'ASC'} NULLS {'FIRST' if term.args.get('nulls_first') else 'LAST'}"
        for name, term in terms
    ]
    return " ORDER BY " + ", ".join(parts)

"""What the forms of a plan share: numbered output columns, ordering, the window of LIMIT and OFFSET."""

from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.nesting import own
from czar.plan.aggregates import VARIANCES, canonical_parts
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


def canonical_tree(tree: exp.Select) -> exp.Select:
    """Give every aggregate, in place, the form whose type does not depend on the plan."""
    for node in list(tree.find_all(exp.Sum, exp.Avg, *VARIANCES)):
        aggregate, outer = canonical_parts(node.copy())
        whole: exp.Expr = node
        while isinstance(whole.parent, exp.Filter | exp.Window) and whole.parent.this is whole:
            whole = whole.parent
        parent, key, index = whole.parent, whole.arg_key or "", whole.index
        node.replace(aggregate)
        changed = outer(aggregate if whole is node else whole)
        if parent is not None and changed is not whole:
            parent.set(key, changed, index)
    return tree


def numbered(tree: exp.Select) -> exp.Select:
    """Give the items of SELECT the names c0, c1, ..., in place: those of the user may be of any form, or twice the same."""
    tree.set("expressions", [exp.alias_(item, f"c{index}", copy=False) for index, item in enumerate(tree.expressions)])
    return tree


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

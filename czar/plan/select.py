"""What the forms of a plan share: numbered output columns, ordering, the window of LIMIT and OFFSET."""

from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.functions import AGGREGATES
from czar.plan.aggregates import canonical
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


def aggregates_of(tree: exp.Expr) -> list[exp.Expr]:
    """Return the aggregates in a tree."""
    return list(tree.find_all(*AGGREGATES))


def canonical_tree(tree: exp.Select) -> exp.Select:
    """Give every aggregate, in place, the form whose type does not depend on the plan."""
    for node in aggregates_of(tree):
        node.replace(canonical(node.copy()))
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
    return [term for term in terms if term.this.find(exp.Column, *AGGREGATES)]


def ordering_sql(terms: list[tuple[str, exp.Ordered]]) -> str:
    """Return ORDER BY over named columns, the place of NULL spelled out, or nothing."""
    if not terms:
        return ""
    parts = [
        f"{name} {'DESC' if term.args.get('desc') else 'ASC'} NULLS {'FIRST' if term.args.get('nulls_first') else 'LAST'}"
        for name, term in terms
    ]
    return " ORDER BY " + ", ".join(parts)

"""Subqueries that one SELECT writes several times and that mean one value: those of GROUP BY, HAVING, ORDER BY and DISTINCT ON.

PostgreSQL takes an expression of these clauses for the item of SELECT that is written alike. Two resolved subqueries are alike if
they have the same aliases, so the later one becomes a copy of the first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from czar.analyse.nesting import own


@dataclass(frozen=True, eq=False)
class SharedSubqueries:
    """The subqueries of one SELECT, as they were written and as they were resolved first."""

    grouped: frozenset[exp.Expr] = frozenset()
    """Those of GROUP BY, as written: everywhere else, too, they are the value of the group."""
    is_item: bool = False
    """Whether an item of SELECT is being resolved: two that are written alike are two values, such as ``(SELECT RANDOM())``, unless
    they are grouped by."""
    resolved: dict[exp.Expr, exp.Expr] = field(default_factory=dict)

    @classmethod
    def of(cls, select: exp.Select) -> "SharedSubqueries":
        """Return those of a SELECT that is not resolved yet."""
        group = select.args.get("group")
        return cls(frozenset(node.copy() for node in own(group, exp.Query)) if group else frozenset())

    def resolve(self, node: exp.Expr, inner: Callable[[exp.Expr], object]) -> exp.Expr:
        """Resolve a subquery in its place by ``inner``, or put a copy of one written alike there; return what stands there."""
        written = node.copy()
        known = self.resolved.get(written)
        if known is not None and (not self.is_item or written in self.grouped):
            return node.replace(known.copy())
        around, key, index = node.parent, node.arg_key, node.index
        inner(node)
        if around is not None and key is not None:
            place = around.args[key]
            node = place if index is None else place[index]
        self.resolved.setdefault(written, node)
        return node

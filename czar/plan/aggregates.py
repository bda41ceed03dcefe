"""How an aggregate is split into a partial form, run in each chunk, and a final form over the partials.

Sums of integers are exact; REAL is widened to double precision before it is summed; a variance merges as (n, mean, M2), the
parallel form of Chan, Golub and LeVeque (1979), which does not cancel where a difference of sums of squares would.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.functions import node_function

VARIANCES: dict[type[exp.Expr], tuple[bool, bool]] = {
    exp.Stddev: (True, True),
    exp.StddevSamp: (True, True),
    exp.StddevPop: (False, True),
    exp.Variance: (True, False),
    exp.VariancePop: (False, False),
}
"""Of each class: whether it is the sample's (n - 1), and whether its square root is taken."""


@dataclass(frozen=True)
class Split:
    """One aggregate of a query, split."""

    name: str
    partial: tuple[tuple[str, exp.Expr], ...]
    """Columns of the chunk query: name, PostgreSQL expression."""
    final: str
    """DuckDB expression over the partial columns, which makes column ``name`` of a group."""
    spread: str | None = None
    """DuckDB expression for the mean of the whole group, made in each partial row before ``final``; ``{over}`` is its window."""


DECOMPOSABLE: tuple[type[exp.Expr], ...] = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, *VARIANCES)
"""Aggregates that are made of partial ones."""


def canonical(node: exp.Expr) -> exp.Expr:
    """Return the aggregate in the form whose type does not depend on how it is computed: bigint or double precision."""
    aggregate, outer = canonical_parts(node)
    return outer(aggregate)


def canonical_parts(node: exp.Expr) -> tuple[exp.Expr, Callable[[exp.Expr], exp.Expr]]:
    """Return the canonical form as the aggregate itself, and what is done with its value: FILTER and OVER come between."""
    match node:
        case exp.Sum():
            return exp.Sum(this=_argument(node, _widened)), lambda value: node_function("total", value)
        case exp.Avg():
            return exp.Avg(this=_argument(node, _widened)), lambda value: exp.cast(value, exp.DType.DOUBLE)
        case exp.Stddev() | exp.StddevSamp() | exp.StddevPop() | exp.Variance() | exp.VariancePop():
            return type(node)(this=_argument(node, lambda part: exp.cast(part, exp.DType.DOUBLE))), lambda value: value
        case _:
            return node, lambda value: value


def _widened(argument: exp.Expr) -> exp.Expr:
    return node_function("widen", argument)


def _argument(node: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Return the changed argument of an aggregate; DISTINCT stays outside of the change."""
    if isinstance(node.this, exp.Distinct):
        return exp.Distinct(expressions=[change(part) for part in node.this.expressions])
    return change(node.this)


def split(node: exp.Expr, name: str) -> Split:
    """Return the partial and the final form of an aggregate."""
    argument = node.this
    match node:
        case exp.Count():
            return Split(name, ((name, node),), f"CAST(SUM({name}) AS BIGINT)")
        case exp.Sum():
            return Split(name, ((name, canonical(node)),), f"SUM({name})")
        case exp.Min() | exp.Max():
            return Split(name, ((name, node),), f"{type(node).__name__.upper()}({name})")
        case exp.Avg():
            # In double precision, because a sum of keys need not fit into a bigint where their mean does.
            total = exp.cast(exp.Sum(this=node_function("widen", argument)), exp.DType.DOUBLE)
            columns = ((f"{name}_sum", total), (f"{name}_n", exp.Count(this=argument)))
            return Split(name, columns, f"SUM({name}_sum) / CAST(SUM({name}_n) AS DOUBLE)")
        case _:
            return _variance(node, name)


def _variance(node: exp.Expr, name: str) -> Split:
    sample, root = VARIANCES[type(node)]
    value = exp.cast(node.this, exp.DType.DOUBLE)
    count = exp.Count(this=value)
    squares = exp.Mul(this=exp.VariancePop(this=value.copy()), expression=count.copy())
    columns = ((f"{name}_n", count), (f"{name}_mean", exp.Avg(this=value.copy())), (f"{name}_m2", squares))
    spread = f"SUM({name}_n * {name}_mean) OVER {{over}} / SUM({name}_n) OVER {{over}}"
    total = f"SUM({name}_m2 + {name}_n * ({name}_mean - {name}_all) * ({name}_mean - {name}_all))"
    degrees, least = (f"(SUM({name}_n) - 1)", 1) if sample else (f"SUM({name}_n)", 0)
    final = f"{total} / {degrees}"
    final = f"SQRT({final})" if root else final
    return Split(name, columns, f"CASE WHEN SUM({name}_n) > {least} THEN {final} END", spread)

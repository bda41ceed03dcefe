"""Variances, covariances and regressions, made of the moments of chunks: numbers, means, and sums of squares about the means.

Two sets of n and m pairs merge as Sxy = Sxy1 + Sxy2 + n (x1 - x) (y1 - y) + m (x2 - x) (y2 - y) with x and y the means of both
(Chan, Golub and LeVeque 1979). Final forms are those of PostgreSQL (float.c): all in double precision.
"""

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

VARIANCES: Final[dict[type[exp.Expr], tuple[bool, bool]]] = {
    exp.Stddev: (True, True),
    exp.StddevSamp: (True, True),
    exp.StddevPop: (False, True),
    exp.Variance: (True, False),
    exp.VariancePop: (False, False),
}
"""Of each class: whether it is the sample's (n - 1), and whether its square root is taken."""

PAIRS: Final[dict[type[exp.Expr], str]] = {
    exp.RegrCount: "{n}",
    exp.RegrAvgx: "{x}",
    exp.RegrAvgy: "{y}",
    exp.RegrSxx: "{sxx}",
    exp.RegrSyy: "{syy}",
    exp.RegrSxy: "{sxy}",
    exp.CovarPop: "{sxy} / {n}",
    exp.CovarSamp: "CASE WHEN {n} > 1 THEN {sxy} / ({n} - 1) END",
    exp.Corr: "CASE WHEN {varies_x} AND {varies_y} THEN {sxy} / (SQRT({sxx}) * SQRT({syy})) END",
    exp.RegrSlope: "CASE WHEN {varies_x} THEN {sxy} / {sxx} END",
    exp.RegrIntercept: "CASE WHEN {varies_x} THEN {y} - {x} * {sxy} / {sxx} END",
    exp.RegrR2: "CASE WHEN NOT {varies_x} THEN NULL WHEN NOT {varies_y} THEN 1.0::DOUBLE ELSE {sxy} / {sxx} * ({sxy} / {syy}) END",
}
"""Aggregates of pairs (y, x): DuckDB expressions over the moments of a group with any pairs."""


@dataclass(frozen=True)
class Moments:
    """An aggregate in moments; the fields are those of `czar.plan.aggregates.Split`."""

    partial: tuple[tuple[str, exp.Expr], ...]
    means: tuple[tuple[str, str], ...]
    final: str


def variance_moments(node: exp.Expr, name: str) -> Moments:
    """Return the form of a variance or a standard deviation."""
    sample, root = VARIANCES[type(node)]
    value = exp.cast(node.this, exp.DType.DOUBLE)
    count = exp.Count(this=value)
    squares = exp.Mul(this=exp.VariancePop(this=value.copy()), expression=count.copy())
    columns = ((f"{name}_n", count), (f"{name}_x", exp.Avg(this=value.copy())), (f"{name}_sxx", squares))
    degrees, least = (f"(SUM({name}_n) - 1)", 1) if sample else (f"SUM({name}_n)", 0)
    final = f"{_about_means(name, 'x', 'x')} / {degrees}"
    final = f"SQRT({final})" if root else final
    final = _checked(f"CASE WHEN SUM({name}_n) > {least} THEN {final} END", f"{name}_sxx")
    return Moments(columns, (_mean(name, "x"),), final)


def pair_moments(node: exp.Expr, name: str) -> Moments:
    """Return the form of an aggregate of pairs, of those neither of which is NULL."""
    y, x = (exp.cast(part, exp.DType.DOUBLE) for part in (node.this, node.expression))

    def of_pairs(kind: type[exp.Expr]) -> exp.Expr:
        return kind(this=y.copy(), expression=x.copy())

    def extreme(kind: type[exp.Expr], value: exp.Expr, other: exp.Expr) -> exp.Expr:
        present = exp.Not(this=exp.Is(this=other.copy(), expression=exp.null()))
        return kind(this=exp.Case(ifs=[exp.If(this=present, true=value.copy())]))

    count = (f"{name}_n", of_pairs(exp.RegrCount))
    if isinstance(node, exp.RegrCount):
        return Moments((count,), (), f"COALESCE(CAST(SUM({name}_n) AS BIGINT), 0)")
    columns: tuple[tuple[str, exp.Expr], ...] = (
        count,
        (f"{name}_x", of_pairs(exp.RegrAvgx)),
        (f"{name}_y", of_pairs(exp.RegrAvgy)),
        (f"{name}_sxx", of_pairs(exp.RegrSxx)),
        (f"{name}_syy", of_pairs(exp.RegrSyy)),
        (f"{name}_sxy", of_pairs(exp.RegrSxy)),
    )
    form = PAIRS[type(node)]
    parts = {
        "n": f"SUM({name}_n)",
        "x": f"ANY_VALUE({name}_x_all)",
        "y": f"ANY_VALUE({name}_y_all)",
        "sxx": _about_means(name, "x", "x"),
        "syy": _about_means(name, "y", "y"),
        "sxy": _about_means(name, "x", "y"),
    }
    # One value throughout has no variance, though rounding may leave one: it would be divided by.
    for axis, value, other in (("x", x, y), ("y", y, x)):
        parts[f"varies_{axis}"] = f"MIN({name}_{axis}_least) <> MAX({name}_{axis}_most) AND {parts[f's{axis}{axis}']} <> 0"
        if f"varies_{axis}" in form:
            least = (f"{name}_{axis}_least", extreme(exp.Min, value, other))
            columns = (*columns, least, (f"{name}_{axis}_most", extreme(exp.Max, value, other)))
    final = form.format(**{key: f"({part})" for key, part in parts.items()})
    final = _checked(f"CASE WHEN SUM({name}_n) > 0 THEN {final} END", f"{name}_sxx + {name}_syy")
    return Moments(columns, (_mean(name, "x"), _mean(name, "y")), final)


def _mean(name: str, axis: str) -> tuple[str, str]:
    weighted = f"SUM({name}_n * {name}_{axis}) OVER {{over}}"
    return f"{name}_{axis}_all", f"{weighted} / SUM({name}_n) OVER {{over}}"


def _about_means(name: str, one: str, other: str) -> str:
    """Return the sum of products about the means of the whole group."""
    deviations = (f"({name}_{axis} - {name}_{axis}_all)" for axis in (one, other))
    return f"SUM({name}_s{one}{other} + {name}_n * {' * '.join(deviations)})"


def _checked(final: str, column: str) -> str:
    """Return a moment that ends the query where it overflows though no chunk's did, as PostgreSQL's does."""
    return f"in_range({final}, BOOL_AND(ISFINITE({column})))"

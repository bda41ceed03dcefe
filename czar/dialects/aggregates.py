"""Aggregates and window functions that a query may call, and how the chunks' parts of each make its value."""

from enum import StrEnum
from typing import Final

from sqlglot import exp


class Merging(StrEnum):
    """How the value over all chunks is made."""

    COMBINED = "combined"
    """From one partial form a chunk and group: counts, sums, extremes, moments."""
    GATHERED = "gathered"
    """From the values themselves, which must come together first."""


AGGREGATES: Final[dict[type[exp.Expr], Merging]] = {
    **dict.fromkeys(
        (
            *(exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.AnyValue),
            *(exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop),
            *(exp.LogicalAnd, exp.LogicalOr, exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg),
            *(exp.Corr, exp.CovarPop, exp.CovarSamp, exp.RegrAvgx, exp.RegrAvgy, exp.RegrCount, exp.RegrIntercept),
            *(exp.RegrR2, exp.RegrSlope, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy),
        ),
        Merging.COMBINED,
    ),
    **dict.fromkeys(
        (exp.GroupConcat, exp.ArrayAgg, exp.PercentileCont, exp.PercentileDisc, exp.Mode),
        Merging.GATHERED,
    ),
}
"""EVERY is read as BOOL_AND. CORR, COVAR_* and REGR_* combine as (n, means, sums of squares and products about the means)."""

WINDOW_FUNCTIONS: Final[frozenset[type[exp.Expr]]] = frozenset(
    {
        *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile),
        *(exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue),
    },
)
"""Functions that have a value only with OVER, or some of them WITHIN GROUP (hypothetical ranks)."""

HYPOTHETICAL: Final[frozenset[type[exp.Expr]]] = frozenset({exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist})
"""Window functions that are aggregates where WITHIN GROUP follows: the rank that a row would have."""

SAME_WHEN_DISTINCT: Final[frozenset[type[exp.Expr]]] = frozenset(
    {exp.Min, exp.Max, exp.AnyValue, exp.LogicalAnd, exp.LogicalOr, exp.BitwiseAndAgg, exp.BitwiseOrAgg},
)
"""Aggregates to which a value counts once, however often it comes: DISTINCT changes nothing."""


def merging(call: exp.Expr) -> Merging | None:
    """Return how the chunks' parts of an aggregate make its value; None for what is no aggregate.

    Parameters
    ----------
    call
        The aggregate, or the FILTER or WITHIN GROUP around it.
    """
    within = isinstance(call, exp.WithinGroup)
    while isinstance(call, exp.Filter | exp.WithinGroup):
        within = within or isinstance(call, exp.WithinGroup)
        call = call.this
    kind = type(call)
    if kind in HYPOTHETICAL and within:
        return Merging.GATHERED
    if kind in AGGREGATES and call.find(exp.Distinct) is not None and kind not in SAME_WHEN_DISTINCT:
        return Merging.GATHERED
    return AGGREGATES.get(kind)

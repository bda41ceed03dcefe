"""Rule: leave out chunks in which the columns' recorded ranges allow no matching row."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from czar.analyse.constants import value
from czar.analyse.query import Query, Source, conjuncts, disjuncts
from czar.catalogue import ColumnStatistics, are_among

Constant = int | float | str

MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.EQ: exp.EQ,
}
"""The comparison that says the same with its sides exchanged."""


def prune_by_statistics(query: Query) -> Query:
    """Drop chunks where a home table has no rows, or none that can meet the conditions."""
    for block in query.blocks:
        if not block.necessary:
            continue
        conditions = block.restrictions()
        for source in block.homes:
            if not source.outer:
                present = source.entry.home_chunks
                if not are_among(query.chunks, present).all():
                    query = query.narrowed(present, f"rows in {source.alias}")
            possible = _all_of(conditions, source)
            if possible is not None and not possible.all():
                query = query.narrowed(source.entry.chunks[possible], f"statistics of {source.alias}")
    return query


def _all_of(conditions: list[exp.Expr], source: Source) -> NDArray[np.bool_] | None:
    """Return for each chunk of the source's table whether all conditions can hold there; None if they say nothing of it."""
    found = [mask for condition in conditions if (mask := _of(condition, source)) is not None]
    return np.logical_and.reduce(found) if found else None


def _any_of(condition: exp.Or, source: Source) -> NDArray[np.bool_] | None:
    """Return the chunks where one of the operands can hold; None as soon as one says nothing of the table."""
    found = np.zeros(len(source.entry.chunks), dtype=np.bool_)
    for part in disjuncts(condition):
        mask = _all_of(conjuncts(part), source)
        if mask is None:
            return None
        found |= mask
    return found


def _of(condition: exp.Expr, source: Source) -> NDArray[np.bool_] | None:  # noqa: PLR0911 (one return a form of condition)
    match condition:
        case exp.Or():
            return _any_of(condition, source)
        case exp.Between():
            low = _compared(exp.GTE, condition.this, value(condition.args["low"]), source)
            high = _compared(exp.LTE, condition.this, value(condition.args["high"]), source)
            masks = [mask for mask in (low, high) if mask is not None]
            return np.logical_and.reduce(masks) if masks else None
        case exp.In() if condition.expressions:
            each = [_compared(exp.EQ, condition.this, value(part), source) for part in condition.expressions]
            return None if any(mask is None for mask in each) else np.logical_or.reduce([m for m in each if m is not None])
        case exp.Is(expression=exp.Null()):
            # sqlglot reads IS NOT NULL as a negated IS; a tree of ADQL has NOT around it.
            return _not_null(condition.this, source) if condition.args.get("negate") else _null(condition.this, source)
        case exp.Not(this=exp.Is(expression=exp.Null()) as is_null) if not is_null.args.get("negate"):
            return _not_null(is_null.this, source)
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE() | exp.EQ():
            mask = _compared(type(condition), condition.left, value(condition.right), source)
            return _compared(MIRRORED[type(condition)], condition.right, value(condition.left), source) if mask is None else mask
        case _:
            return None


def _statistics(node: exp.Expr, source: Source) -> ColumnStatistics | None:
    if not isinstance(node, exp.Column) or node.table != source.alias:
        return None
    return source.entry.statistics.get(node.name)


def _null(node: exp.Expr, source: Source) -> NDArray[np.bool_] | None:
    statistics = _statistics(node, source)
    return None if statistics is None or source.outer else statistics.null_count > 0


def _not_null(node: exp.Expr, source: Source) -> NDArray[np.bool_] | None:
    statistics = _statistics(node, source)
    return None if statistics is None else statistics.null_count < source.entry.row_counts


def _compared(kind: type[exp.Expr], node: exp.Expr, constant: Constant | None, source: Source) -> NDArray[np.bool_] | None:
    """Return the chunks where ``column <kind> constant`` can hold."""
    statistics = _statistics(node, source)
    if statistics is None or constant is None:
        return None
    if isinstance(constant, int) and any(isinstance(low, float) for low in statistics.minimum):
        constant = _double(constant)
    tests: dict[type[exp.Expr], Callable[[Constant, Constant], bool]] = {
        exp.LT: lambda low, _: low < constant,  # type: ignore[operator]  # both are numbers or both texts, see below
        exp.LTE: lambda low, _: low <= constant,  # type: ignore[operator]  # as above
        exp.GT: lambda _, high: high > constant,  # type: ignore[operator]  # as above
        exp.GTE: lambda _, high: high >= constant,  # type: ignore[operator]  # as above
        exp.EQ: lambda low, high: low <= constant <= high,  # type: ignore[operator]  # as above
    }
    test = tests[kind]
    mask = np.empty(len(source.entry.chunks), dtype=np.bool_)
    for index, (low, high) in enumerate(zip(statistics.minimum, statistics.maximum, strict=True)):
        if low is None or high is None:
            mask[index] = statistics.null_count[index] < source.entry.row_counts[index]
        elif isinstance(low, str) != isinstance(constant, str):
            return None
        elif isinstance(low, float) or isinstance(constant, float):
            # PostgreSQL compares an integer with a float as two doubles; Python would compare them exactly.
            mask[index] = test(float(low), float(high))
        else:
            mask[index] = test(low, high)
    # NaN is above every number in PostgreSQL, and equal to itself.
    return mask | statistics.has_nan


def _double(constant: int) -> float:
    """Return a whole number as the nearest double; one beyond all doubles as an infinity."""
    try:
        return float(constant)
    except OverflowError:
        return float("inf") if constant > 0 else -float("inf")

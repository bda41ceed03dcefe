"""Rule: leave out chunks in which the columns' recorded ranges allow no matching row."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from czar.analyse.constants import moment, truth, value
from czar.analyse.nesting import conjuncts, disjuncts
from czar.analyse.plain_forms import REAL_WHOLE
from czar.analyse.query import Query, Source
from czar.catalogue import ColumnStatistics, Ranges, are_among
from czar.dialects.number_lists import NUMBERS, lists_numbers
from schema.model import ColumnType

Constant = int | float | str | np.datetime64

READERS: dict[str, Callable[[exp.Expr | None], Constant | None]] = {"M": moment, "b": truth}
"""What a constant is beside a column of times, or of booleans, by the kind of NumPy's type; beside others `value` tells."""

TYPES: dict[str, type | tuple[type, ...]] = {"O": str, "M": np.datetime64, "b": bool}
"""Types of constants that ranges of a kind are compared with; others are numbers."""

MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.EQ: exp.EQ,
}
"""The comparison that says the same with its sides exchanged."""

OR_EQUAL: dict[type[exp.Expr], type[exp.Expr]] = {exp.LT: exp.LTE, exp.GT: exp.GTE}
"""The comparison that holds for equal sides, too."""

TESTS: dict[type[exp.Expr], Callable[[Any, Any, Any], Any]] = {
    exp.LT: lambda low, _, constant: low < constant,
    exp.LTE: lambda low, _, constant: low <= constant,
    exp.GT: lambda _, high, constant: high > constant,
    exp.GTE: lambda _, high, constant: high >= constant,
    exp.EQ: lambda low, high, constant: (low <= constant) & (high >= constant),
}
"""Whether one of the values from ``low`` to ``high`` stands in a relation to a constant (`Any`: any type of `Ranges`)."""


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
            low = _compared(exp.GTE, condition.this, condition.args["low"], source)
            high = _compared(exp.LTE, condition.this, condition.args["high"], source)
            masks = [mask for mask in (low, high) if mask is not None]
            return np.logical_and.reduce(masks) if masks else None
        case exp.In() if _is_rounded(condition, source):
            return None
        case exp.In() if lists_numbers(condition):
            return _among(condition.this, condition.meta[NUMBERS], source)
        case exp.In() if condition.expressions:
            each = [_compared(exp.EQ, condition.this, part, source) for part in condition.expressions]
            return None if any(mask is None for mask in each) else np.logical_or.reduce([m for m in each if m is not None])
        case exp.Is(expression=exp.Null()):
            # sqlglot reads IS NOT NULL as a negated IS; a tree of ADQL has NOT around it.
            return _not_null(condition.this, source) if condition.args.get("negate") else _null(condition.this, source)
        case exp.Not(this=exp.Is(expression=exp.Null()) as is_null) if not is_null.args.get("negate"):
            return _not_null(is_null.this, source)
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE() | exp.EQ():
            mask = _compared(type(condition), condition.left, condition.right, source)
            return _compared(MIRRORED[type(condition)], condition.right, condition.left, source) if mask is None else mask
        case _:
            return _boolean(condition, source)


def _boolean(condition: exp.Expr, source: Source) -> NDArray[np.bool_] | None:
    """Return the chunks where a column that is a condition, or the opposite of one, can hold."""
    match condition:
        case exp.Is(expression=exp.Boolean()) if not condition.args.get("negate"):
            return _compared(exp.EQ, condition.this, condition.expression, source)
        case exp.Column():
            return _compared(exp.EQ, condition, exp.true(), source)
        case exp.Not(this=exp.Column()):
            return _compared(exp.EQ, condition.this, exp.false(), source)
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


def _compared(kind: type[exp.Expr], node: exp.Expr, other: exp.Expr, source: Source) -> NDArray[np.bool_] | None:
    """Return the chunks where ``column <kind> constant`` can hold."""
    statistics = _statistics(node, source)
    if statistics is None:
        return None
    constant = READERS.get(statistics.minimum.dtype.kind, value)(other)
    return None if constant is None else comparable(kind, statistics, constant, source.entry.row_counts)


def _is_rounded(member: exp.In, source: Source) -> bool:
    """Whether a list has whole numbers that become others as REAL, as which PostgreSQL compares a column of that type with them."""
    column = source.entry.table.by_name.get(member.this.name) if isinstance(member.this, exp.Column) else None
    if column is None or column.datatype is not ColumnType.FLOAT:
        return False
    numbers = member.meta[NUMBERS] if lists_numbers(member) else [value(part) for part in member.expressions]
    return any(isinstance(each, int | np.integer) and abs(int(each)) > REAL_WHOLE for each in numbers)


def _among(node: exp.Expr, numbers: NDArray[np.int64], source: Source) -> NDArray[np.bool_] | None:
    """Return the chunks where a column can be one of some whole numbers, which are sorted."""
    statistics = _statistics(node, source)
    if statistics is None or statistics.minimum.dtype.kind in TYPES:
        return None
    known = numbers.astype(statistics.minimum.dtype)  # rounding keeps the order
    within = np.searchsorted(known, statistics.minimum, "left") < np.searchsorted(known, statistics.maximum, "right")
    return _possible(statistics, within, source.entry.row_counts)


def comparable(
    kind: type[exp.Expr], statistics: ColumnStatistics, constant: Constant, row_counts: NDArray[np.int64]
) -> NDArray[np.bool_] | None:
    """Return the chunks where a value of a column can stand in a relation to a constant; None if ranges do not tell.

    Parameters
    ----------
    kind
        One of `MIRRORED`; the column is on its left side.
    row_counts
        Rows of each chunk.
    """
    if not isinstance(constant, TYPES.get(statistics.minimum.dtype.kind, (int, float))) or constant != constant:  # noqa: PLR0124 (NaN)
        return None
    return _possible(statistics, _within(kind, statistics.minimum, statistics.maximum, constant), row_counts)


def _possible(statistics: ColumnStatistics, within: NDArray[np.bool_], row_counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the chunks where a value can be, from those whose range allows it."""
    possible = np.where(statistics.is_known, within, statistics.null_count < row_counts)
    # NaN is above every number in PostgreSQL, and equal to itself.
    found: NDArray[np.bool_] = possible | statistics.has_nan
    return found


def _within(kind: type[exp.Expr], low: Ranges, high: Ranges, constant: Constant) -> NDArray[np.bool_]:
    """Return for each range whether one of its values stands in a relation to a constant."""
    if isinstance(constant, float) and low.dtype == np.int64:
        # PostgreSQL compares a bigint with a double precision constant as two doubles, and with a numeric one exactly. What holds
        # either way holds here: rounding keeps the order, but can make two numbers equal.
        low, high = low.astype(np.float64), high.astype(np.float64)
        kind = OR_EQUAL.get(kind, kind)
    elif isinstance(constant, int) and low.dtype == np.float64:
        constant = _double(constant)
    return np.asarray(TESTS[kind](low, high, constant), dtype=np.bool_)


def _double(constant: int) -> float:
    """Return a whole number as the nearest double; one beyond all doubles as an infinity."""
    try:
        return float(constant)
    except OverflowError:
        return float("inf") if constant > 0 else -float("inf")

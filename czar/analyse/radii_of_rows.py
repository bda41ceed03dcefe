"""Rule: a distance below what a row says (``DISTANCE(...) < 3 * a.ra_err``) is also below the largest number that any row says.

The largest one follows from the recorded ranges of the columns, by interval arithmetic. With it, such a condition is a region, or a
join of near neighbours, as one with a constant radius is; the condition itself stays and decides.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.functions import called
from czar.analyse.nesting import conjuncts, joins, selects
from czar.analyse.query import Query, Source
from czar.analyse.separations import distance_in
from czar.catalogue import ColumnStatistics

ROUNDING: Final = 1e-6
"""More than REAL rounds a result by, in parts of it."""

FARTHEST_DEG: Final = 180.0
"""No two positions are farther apart: a larger radius says nothing."""

MOST_POWER: Final = 16
"""Highest exponent of a radius."""


class Range(NamedTuple):
    """Numbers between which all values of an expression are, unless they are NULL; both are finite."""

    low: float
    high: float


def radii_of_rows(query: Query) -> Query:
    """Add to each distance that must be below an expression that it is below the largest value of this."""
    for select in selects(query.tree) if len(query.sources) > 1 else [query.tree]:
        for holder, key in ((select.args.get("where"), "this"), *((join, "on") for join in joins(select))):
            for condition in conjuncts(holder.args.get(key)) if holder else ():
                limited = _limited(condition, query)
                if limited is not None:
                    condition.replace(exp.Paren(this=exp.and_(condition.copy(), limited, copy=False)))
    return query


def _limited(condition: exp.Expr, query: Query) -> exp.Expr | None:
    """Return the condition with a constant radius that holds wherever it holds."""
    match condition:
        case exp.LT() | exp.LTE():
            distance, radius = condition.left, condition.right
        case exp.GT() | exp.GTE():
            distance, radius = condition.right, condition.left
        case exp.Between():
            distance, radius = condition.this, condition.args["high"]
        case exp.Dot() if (called(condition) or ("",))[0] == "in_circle":
            return _in_largest_circle(condition, query)
        case _:
            return None
    found = distance_in(distance) if number(radius) is None else None
    largest = _largest(radius, query) if found else None
    if found is None or largest is None or largest / found.factor >= FARTHEST_DEG:
        return None
    return exp.LTE(this=distance.copy(), expression=_literal(largest))


def _in_largest_circle(condition: exp.Dot, query: Query) -> exp.Expr | None:
    radius = (called(condition) or ("", []))[1][4]
    largest = None if number(radius) is not None else _largest(radius, query)
    if largest is None or largest >= FARTHEST_DEG:
        return None
    circle = condition.copy()
    circle.expression.expressions[4].replace(_literal(largest))
    return circle


def _largest(radius: exp.Expr, query: Query) -> float | None:
    """Return a number, not below 0, that no value of an expression exceeds."""
    found = _range(radius, query.tables)
    return None if found is None else max(0.0, found.high)


def _literal(value: float) -> exp.Expr:
    return exp.cast(exp.Literal.number(repr(value)), exp.DType.DOUBLE)


def _range(node: exp.Expr, tables: dict[str, Source]) -> Range | None:
    """Return the range of an expression, as wide as its rounding, if it follows from those of columns."""
    constant = number(node)
    if constant is not None:
        return _rounded((constant, constant))
    if isinstance(node, exp.Paren) or (isinstance(node, exp.Cast) and node.to.this in {exp.DType.DOUBLE, exp.DType.FLOAT}):
        return _range(node.this, tables)
    if isinstance(node, exp.Column):
        source = tables.get(node.table)
        statistics = source.entry.statistics.get(node.name) if source else None
        return None if source is None or statistics is None else _recorded(statistics, source.entry.row_counts)
    name, arguments = called(node) or ("", [])
    compute = CALLS.get(name) if name else OPERATIONS.get(type(node))
    operands = arguments or [part for part in node.iter_expressions() if isinstance(part, exp.Expr)]
    ranges = [_range(part, tables) for part in operands] if compute else []
    known = [each for each in ranges if each is not None]
    if compute is None or not known or len(known) < len(ranges):
        return None
    try:
        values = compute(*known)
    except (OverflowError, TypeError):  # out of all range, or more operands than it has a rule for
        return None
    return None if values is None else _rounded(values)


def _rounded(values: Iterable[float]) -> Range | None:
    """Return the range of some numbers and of what they may be rounded to."""
    values = list(values)
    low, high = min(values), max(values)
    found = Range(low - abs(low) * ROUNDING, high + abs(high) * ROUNDING)
    return found if all(map(math.isfinite, found)) else None


def _recorded(statistics: ColumnStatistics, row_counts: np.ndarray) -> Range | None:
    """Return the range of a column: none where it is not known of some chunk, or has NaN, above which nothing is."""
    known = statistics.is_known
    if statistics.minimum.dtype.kind not in "if" or statistics.has_nan.any():
        return None
    if not known.any() or not (known | (statistics.null_count == row_counts)).all():
        return None
    return _rounded((float(statistics.minimum[known].min()), float(statistics.maximum[known].max())))


def _product(one: Range, other: Range) -> Iterable[float]:
    return [a * b for a in one for b in other]


def _quotient(one: Range, other: Range) -> Iterable[float] | None:
    if other.low <= 0 <= other.high:
        return None
    exact = [a / b for a in one for b in other]
    return [*exact, *map(math.trunc, exact)]  # whole numbers are divided towards zero


def _power(base: Range, exponent: Range) -> Iterable[float] | None:
    times = round(exponent.low)
    is_constant = exponent == _rounded((times, times))
    if not is_constant or not 0 <= times <= MOST_POWER:
        return None
    return [value**times for value in (*base, 0.0)]


def _hull(*ranges: Range) -> Iterable[float]:
    return [value for each in ranges for value in each]


OPERATIONS: Final[dict[type[exp.Expr], Callable[..., Iterable[float] | None]]] = {
    exp.Neg: lambda one: (-one.low, -one.high),
    exp.Add: lambda one, other: (one.low + other.low, one.high + other.high),
    exp.Sub: lambda one, other: (one.low - other.high, one.high - other.low),
    exp.Mul: _product,
    exp.Div: _quotient,
    exp.Pow: _power,
    exp.Abs: lambda one: (0.0, *map(abs, one)),
    exp.Sqrt: lambda one: [math.sqrt(max(0.0, value)) for value in one],
    exp.Greatest: _hull,
    exp.Least: _hull,
    exp.Coalesce: _hull,
}

CALLS: Final = {kind.sql_name().lower(): compute for kind, compute in OPERATIONS.items() if issubclass(kind, exp.Func)} | {
    "power": _power,
    "divide": _quotient,
}
"""Functions by name, also those of the nodes: without a value of some numbers, they give NULL or an error."""

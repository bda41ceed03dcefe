"""How an aggregate is split into a partial form, run in each chunk, and a final form over the partials.

Sums of integers are exact and do not overflow before they are whole: a chunk sends them in two parts. REAL is widened to double
precision before it is summed. Moments merge as (n, means, sums of squares and products about the means), the parallel form of Chan,
Golub and LeVeque (1979), which does not cancel where a difference of sums of squares would. Where an aggregate takes different
values only, its argument is grouped in each chunk, and the final form is over the values. Number and sum of a mean in double
precision come from one aggregate of ours, ``qserv.sums``, which PostgreSQL computes once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from czar.analyse.functions import node_function
from czar.analyse.kinds import Kind
from czar.dialects.aggregates import SAME_WHEN_DISTINCT
from czar.plan.moments import PAIRS, VARIANCES, Moments, pair_moments, variance_moments
from czar.plan.numbers import Numbers

HALF: Final = 2**32
"""A sum of bigint is low + high * 2^32: both parts fit into a bigint for any number of rows below 2^31."""

PLAIN: Final[dict[type[exp.Expr], str]] = {
    exp.Min: "MIN",
    exp.Max: "MAX",
    exp.AnyValue: "ANY_VALUE",
    exp.LogicalAnd: "BOOL_AND",
    exp.LogicalOr: "BOOL_OR",
    exp.BitwiseAndAgg: "BIT_AND",
    exp.BitwiseOrAgg: "BIT_OR",
    exp.BitwiseXorAgg: "BIT_XOR",
}
"""Aggregates of which the final form is the aggregate of the partial ones; their names in DuckDB."""

SUMS: Final = "sums"
"""The aggregate of schema ``qserv`` that gives an array of a number, a sum, and what is not used here."""

EXACT: Final = (exp.Min, exp.Max, exp.AnyValue, exp.Sum, exp.Avg)
"""Aggregates of values that must not be numeric, because those would be merged in double precision."""


@dataclass(frozen=True)
class Split:
    """One aggregate of a query, split."""

    name: str
    partial: tuple[tuple[str, exp.Expr], ...]
    """Columns of the chunk query: name, PostgreSQL expression."""
    merged: tuple[tuple[str, str], ...]
    """Columns of a group: name, DuckDB expression over the partial columns."""
    plain: str
    """DuckDB expression for the aggregate where it is a column of the answer by itself."""
    value: exp.Expr
    """PostgreSQL expression for the aggregate over the merged columns, which are those of table ``merged``."""
    values: tuple[tuple[str, exp.Expr], ...] = ()
    """Columns of the chunk query that it groups by."""
    wide: tuple[tuple[str, str], ...] = ()
    """Merged columns that are numeric if a partial column is a bigint, and else bigint."""
    means: tuple[tuple[str, str], ...] = ()
    """Columns with means of the whole group, made in each partial row before the final form: name, DuckDB expression with
    ``{over}`` for the window."""


def summand(argument: exp.Expr) -> exp.Expr:
    """Return what is summed where the sum is part of an expression; what is `widened` stays so."""
    is_done = isinstance(argument, exp.Dot) and argument.expression.name == "widen"
    return argument if is_done else node_function("summand", argument)


def widened(argument: exp.Expr) -> exp.Expr:
    """Return what is summed where the sum is a column of the answer."""
    return node_function("widen", argument)


def in_double(argument: exp.Expr) -> exp.Expr:
    """Return an argument in double precision, in which moments are computed."""
    return exp.cast(argument, exp.DType.DOUBLE)


def changed(node: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> None:
    """Change the argument of an aggregate, in place; DISTINCT stays outside of the change."""
    if isinstance(node.this, exp.Distinct):
        node.this.set("expressions", [change(part) for part in node.this.expressions])
    else:
        node.set("this", change(node.this))


def values_of(call: exp.Expr) -> exp.Expr | None:
    """Return the argument of an aggregate that takes different values only; None if it takes all."""
    aggregate = _aggregate(call)
    if not isinstance(aggregate.this, exp.Distinct) or isinstance(aggregate, tuple(SAME_WHEN_DISTINCT)):
        return None
    argument: exp.Expr = aggregate.this.expressions[0]
    return argument


def can_be_split(call: exp.Expr) -> bool:
    """Whether an aggregate, or the FILTER around it, can be made of partial ones; of numbers that are not numeric."""
    aggregate = _aggregate(call)
    if not isinstance(aggregate, (exp.Count, exp.Sum, exp.Avg, *PLAIN, *PAIRS, *VARIANCES)):
        return False
    if any(aggregate.find(kind) for kind in (exp.Order, exp.Limit)):
        return False
    if not isinstance(aggregate.this, exp.Distinct):
        return not aggregate.expressions
    if isinstance(aggregate, (*PAIRS, *VARIANCES)) or len(aggregate.this.expressions) != 1:
        return False
    argument = aggregate.this.expressions[0]
    return not isinstance(argument, exp.Tuple) and argument.find(exp.Column) is not None


def counted_apart(call: exp.Expr, name: str) -> Split:
    """Return the split of a COUNT(DISTINCT ...) of values that are each in one chunk: the chunks' own counts add up."""
    final = f"COALESCE(CAST(SUM({name}) AS BIGINT), 0)"
    return Split(name, ((name, call),), ((name, final),), final, _merged(name))


def split(call: exp.Expr, name: str, numbers: Numbers) -> Split:
    """Return the partial and the final form of an aggregate that `can_be_split`, or of the FILTER around it."""
    condition = call.expression.this if isinstance(call, exp.Filter) else None
    aggregate = _aggregate(call)
    if values_of(call) is not None:
        return _of_values(aggregate, name, condition)
    if isinstance(aggregate.this, exp.Distinct):
        aggregate = aggregate.copy()
        aggregate.set("this", aggregate.this.expressions[0])
    found = _of_rows(aggregate, name, numbers)
    if condition is None:
        return found
    return replace(found, partial=tuple((column, _filtered(part, condition)) for column, part in found.partial))


def _of_rows(node: exp.Expr, name: str, numbers: Numbers) -> Split:
    argument = node.this
    kind = type(node)
    if kind in VARIANCES:
        return _of_moments(variance_moments(node, name), name)
    if kind in PAIRS:
        return _of_moments(pair_moments(node, name), name)
    if kind in PLAIN:
        final = f"{PLAIN[kind]}({name})"
        return Split(name, ((name, node),), ((name, final),), final, _merged(name))
    if isinstance(node, exp.Count):
        # Without rows there is no partial one where the chunks group by something.
        final = f"COALESCE(CAST(SUM({name}) AS BIGINT), 0)"
        return Split(name, ((name, node),), ((name, final),), final, _merged(name))
    if isinstance(node, exp.Avg):
        return _of_sums(argument, name) if numbers.kind(argument) == Kind.FLOAT else _of_sum_and_count(argument, name, numbers)
    parts, whole = _total(argument, name, numbers)
    return Split(name, parts, ((name, whole),), whole, _merged(name), wide=((name, parts[1][0]),) if len(parts) > 1 else ())


def _of_sum_and_count(argument: exp.Expr, name: str, numbers: Numbers) -> Split:
    """Return the split of AVG of any number."""
    parts, whole = _total(argument, name, numbers)
    count = (f"{name}_n", exp.Count(this=argument.copy()))
    wide = ((f"{name}_sum", parts[1][0]),) if len(parts) > 1 else ()
    return _mean(Split(name, (*parts, count), (), "", exp.null(), wide=wide), whole, _number(name))


def _of_sums(argument: exp.Expr, name: str) -> Split:
    """Return the split of AVG of what is in double precision for certain."""
    number, total = (
        exp.Bracket(this=exp.Paren(this=_sums(argument)), expressions=[exp.Literal.number(n)], offset=1) for n in (1, 2)
    )
    parts = ((name, total), (f"{name}_n", exp.cast(number, exp.DType.BIGINT)))
    return _mean(Split(name, parts, (), "", exp.null()), _checked(f"SUM({name})", name), _number(name))


def _sums(argument: exp.Expr) -> exp.Expr:
    return node_function(SUMS, argument.copy())


def _number(name: str) -> str:
    """Return the DuckDB expression for how many values a mean is of."""
    return f"COALESCE(CAST(SUM({name}_n) AS BIGINT), 0)"


def _total(argument: exp.Expr, name: str, numbers: Numbers) -> tuple[tuple[tuple[str, exp.Expr], ...], str]:
    """Return the partial columns of a sum, and the sum over them: in two parts, unless it is in double precision for certain."""
    total = exp.Sum(this=widened(argument.copy()))
    if numbers.kind(argument) == Kind.FLOAT:
        return ((name, total),), _checked(f"SUM({name})", name)
    parts = ((name, node_function("sum_low", total)), (f"{name}_high", node_function("sum_high", total.copy())))
    return parts, _checked(f"SUM({name}) + COALESCE(SUM({name}_high), 0) * {HALF}", name)


def _mean(base: Split, total: str, number: str) -> Split:
    """Complete the split of AVG, which has a sum and a number of values: its value is PostgreSQL's own division."""
    name = base.name
    merged = ((f"{name}_sum", total), (f"{name}_n", number))
    plain = f"CAST({total} AS DOUBLE) / NULLIF({number}, 0)"
    value = node_function("mean", _merged(f"{name}_sum"), _merged(f"{name}_n"))
    return replace(base, merged=merged, plain=plain, value=value)


def _of_values(node: exp.Expr, name: str, condition: exp.Expr | None) -> Split:
    """Return the form over different values, which the chunks group by: COUNT(DISTINCT x) and its kin."""
    argument = node.this.expressions[0].copy()
    if condition is not None:
        argument = exp.Case(ifs=[exp.If(this=condition.copy(), true=argument)])
    if isinstance(node, exp.Sum | exp.Avg):
        argument = widened(argument)
    total, number = _checked(f"SUM(DISTINCT {name})", name), f"COUNT(DISTINCT {name})"
    values = ((name, argument),)
    if isinstance(node, exp.Avg):
        return _mean(Split(name, (), (), "", exp.null(), values, ((f"{name}_sum", name),)), total, number)
    wide: tuple[tuple[str, str], ...] = ()
    match node:
        case exp.Count():
            final = number
        case exp.Sum():
            final, wide = total, ((f"{name}_sum", name),)
        case _:
            final = f"{PLAIN[type(node)]}(DISTINCT {name})"
    return Split(name, (), ((f"{name}_sum", final),), final, _merged(f"{name}_sum"), values, wide)


def _of_moments(moments: Moments, name: str) -> Split:
    return Split(name, moments.partial, ((name, moments.final),), moments.final, _merged(name), means=moments.means)


def _checked(total: str, column: str) -> str:
    """Return a sum that ends the query where it overflows double precision, as PostgreSQL's does: DuckDB's becomes infinite."""
    return f"in_range({total}, BOOL_AND(ISFINITE({column})))"


def _aggregate(call: exp.Expr) -> exp.Expr:
    return call.this if isinstance(call, exp.Filter) else call


def _filtered(part: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """Return an expression over aggregates of the rows that meet a condition."""

    def filtered(node: exp.Expr) -> exp.Expr:
        is_aggregate = isinstance(node, exp.AggFunc) or (isinstance(node, exp.Dot) and node.expression.name == SUMS)
        return exp.Filter(this=node, expression=exp.Where(this=condition.copy())) if is_aggregate else node

    return part.copy().transform(filtered)


def _merged(name: str) -> exp.Expr:
    return exp.column(name, table="merged")

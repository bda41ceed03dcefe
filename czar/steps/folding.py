"""A few rows of a step, written into the query as constants: then they prune chunks as the user's own would."""

from typing import Final

import numpy as np
import pyarrow as pa
from sqlglot import exp

from czar.analyse.query import opaque
from czar.dialects.number_lists import NUMBERS
from czar.steps.intermediate import NUMERIC, Intermediate, literal

LISTED_VALUES: Final = 1_000
"""Longest list that is written out in ``IN (...)``; a longer one is sent as an array, and its keys looked up all the same."""

WHOLE_NUMBERS: Final = {pa.int16(): exp.DType.SMALLINT, pa.int32(): exp.DType.INT, pa.int64(): exp.DType.BIGINT}


def fold(tree: exp.Expr, found: Intermediate) -> None:
    """Replace ``(SELECT c FROM step)`` in expressions by its value, or its list of values, in place."""
    rows = found.rows
    if rows is None or rows.num_columns != 1:
        return
    for table in list(tree.find_all(exp.Table)):
        select = table.parent.parent if isinstance(table.parent, exp.From) else None
        if table.name != found.table.name or not isinstance(select, exp.Select) or not _shows_the_step(select, table.alias):
            continue
        around = select.parent
        if isinstance(around, exp.Subquery) and isinstance(around.parent, exp.In):
            _fold_list(around.parent, rows)
        elif isinstance(around, exp.Subquery) and is_value(around) and rows.num_rows <= 1:
            around.replace(_constant(rows.column(0)[0] if rows.num_rows else pa.scalar(None, rows.schema[0].type)))


def _shows_the_step(select: exp.Select, alias: str) -> bool:
    """Whether a SELECT shows a step as it is."""
    clauses = {name for name, value in select.args.items() if value}
    shown = [item.unalias() for item in select.expressions]
    return clauses <= {"expressions", "from_"} and all(isinstance(item, exp.Column) and item.table == alias for item in shown)


def is_value(subquery: exp.Subquery) -> bool:
    """Whether a query in parentheses is one value, not a list or a relation."""
    outer = (exp.From, exp.Join, exp.SetOperation, exp.Exists, exp.Any, exp.All, exp.Lateral, exp.Subquery, exp.CTE, exp.Array)
    return not isinstance(subquery.parent, outer)


def _fold_list(member: exp.In, rows: pa.Table) -> None:
    kind = rows.schema[0].type
    if kind not in WHOLE_NUMBERS:
        return
    values = rows.column(0)
    if 0 < rows.num_rows <= LISTED_VALUES:
        member.set("query", None)
        member.set("expressions", [_constant(value) for value in values])
    else:
        member.meta[NUMBERS] = np.unique(values.drop_null().cast(pa.int64()).to_numpy())


def _constant(value: pa.Scalar) -> exp.Expr:
    """Return a value as a constant of its type, in a form that the rules of analysis can read."""
    if value.is_valid and value.type == NUMERIC:
        return exp.cast(exp.Literal.string(value.as_py()), exp.DType.DECIMAL)
    if not value.is_valid or value.type not in WHOLE_NUMBERS:
        found = value.as_py()
        if value.is_valid and pa.types.is_float64(value.type) and found == found and abs(found) != float("inf"):  # noqa: PLR0124 (NaN)
            return _signed(repr(abs(found)), exp.DType.DOUBLE, negative=found < 0)
        return exp.Paren(this=opaque(literal(value)))
    found = value.as_py()
    if -found == 1 << (value.type.bit_width - 1):  # its magnitude alone is beyond its type
        return exp.Paren(this=opaque(literal(value)))
    return _signed(str(abs(found)), WHOLE_NUMBERS[value.type], negative=found < 0)


def _signed(digits: str, kind: exp.DType, *, negative: bool) -> exp.Expr:
    constant = exp.cast(exp.Literal.number(digits), kind)
    return exp.Paren(this=exp.Neg(this=constant)) if negative else constant

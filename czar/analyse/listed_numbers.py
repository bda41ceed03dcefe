"""Rule: what says that a column is one of some whole numbers says it as one list, by which keys and statistics leave chunks out.

``c = 1 OR c = 2``, ``c = ANY ('{1,2}')`` and ``c IN (1, 2)`` mean the same. But only for a column of whole numbers: one of type
REAL is compared with each number of a list as a REAL, and with a lone number in double precision.
"""

import re
from collections.abc import Sequence

import numpy as np
from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.nesting import disjuncts
from czar.analyse.query import Block, Query
from czar.dialects.number_lists import LONG, list_numbers

BIGINT = 2**63

ARRAY = re.compile(r"\s*\{\s*-?\d{1,19}(\s*,\s*-?\d{1,19})*\s*\}\s*", re.ASCII)
"""A text that PostgreSQL reads as an array of whole numbers."""


def listed_numbers(query: Query) -> Query:
    """Write the conditions that every row meets as lists, in place."""
    for block in query.blocks:
        for condition in block.restrictions():
            match condition:
                case exp.Or():
                    _alternatives(condition, block)
                case exp.EQ(expression=exp.Any()) if _is_whole(condition.this, block):
                    values = _array(condition.expression.this.unnest())
                    if values:
                        condition.replace(_member(condition.this, values))
                case exp.In() if len(condition.expressions) >= LONG and _is_whole(condition.this, block):
                    numbers = [value for part in condition.expressions if (value := _whole(part)) is not None]
                    if len(numbers) == len(condition.expressions):
                        condition.replace(_member(condition.this, numbers))
    return query


def _alternatives(condition: exp.Or, block: Block) -> None:
    """Join those operands of OR that compare the same column with a number."""
    operands = disjuncts(condition)
    lists: dict[tuple[str, str], list[int]] = {}
    places: dict[tuple[str, str], int] = {}
    left: list[exp.Expr] = []
    for operand in operands:
        found = _compared(operand, block)
        if found is None:
            left.append(operand)
            continue
        name = (found[0].table, found[0].name)
        if name not in lists:
            places[name] = len(left)
            left.append(found[0])
        lists.setdefault(name, []).append(found[1])
    if len(left) == len(operands):
        return
    for name, place in places.items():
        left[place] = _member(left[place], lists[name])
    condition.replace(exp.or_(*left, copy=False) if len(left) > 1 else left[0])


def _compared(operand: exp.Expr, block: Block) -> tuple[exp.Column, int] | None:
    """Return the column and the number of an equation between them."""
    if isinstance(operand, exp.EQ):
        for column, other in ((operand.left, operand.right), (operand.right, operand.left)):
            value = _whole(other) if _is_whole(column, block) else None
            if value is not None and isinstance(column, exp.Column):
                return column, value
    return None


def _is_whole(node: exp.Expr, block: Block) -> bool:
    """Whether a node is a column of a table of FROM, of a whole number."""
    source = next((each for each in block.sources if isinstance(node, exp.Column) and each.alias == node.table), None)
    return source is not None and source.entry.is_whole(node.name)


def _whole(node: exp.Expr) -> int | None:
    """Return a number that is written as a whole one of bigint; a cast one may be out of the range of its type."""
    value = None if isinstance(node.unnest(), exp.Cast) else number(node)
    return value if isinstance(value, int) and -BIGINT <= value < BIGINT else None


def _array(node: exp.Expr) -> list[int]:
    """Return the numbers that an array holds, which may be written as a text."""
    if isinstance(node, exp.Array):
        numbers = [value for part in node.expressions if (value := _whole(part)) is not None]
        return numbers if len(numbers) == len(node.expressions) else []
    if not isinstance(node, exp.Literal) or not node.is_string or not ARRAY.fullmatch(node.name):
        return []
    values = [int(value) for value in node.name.strip().strip("{}").split(",")]
    return values if all(-BIGINT <= value < BIGINT for value in values) else []


def _member(column: exp.Expr, values: Sequence[int]) -> exp.In:
    member = exp.In(this=column)
    if len(values) >= LONG:
        list_numbers(member, np.array(values, dtype=np.int64))
    else:
        member.set("expressions", [exp.Literal.number(value) for value in dict.fromkeys(values)])
    return member

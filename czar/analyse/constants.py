"""The value of an expression without columns."""

import re

from sqlglot import exp

Number = int | float

INTEGERS = {exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT}

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
"""A text that PostgreSQL reads as a bigint for certain; in a smaller type it may be out of range, which is an error there."""

MAX_DIGITS = 300
"""Longest whole number that is kept exact: every one of them can be turned into a double."""


def number(node: exp.Expr | None) -> Number | None:
    """Return the value of a numeric constant, or None for anything else. Integers are exact."""
    match node:
        case exp.Paren():
            return number(node.this)
        case exp.Cast(this=exp.Literal()):
            return _cast(_written(node.this), node.to.this)
        case exp.Neg():
            value = number(node.this)
            return None if value is None else -value
        case exp.Literal(is_string=False):
            text = str(node.this)
            return int(text) if text.isdigit() and len(text) <= MAX_DIGITS else float(text)
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Div():
            return _arithmetic(node, number(node.left), number(node.right))
        case _:
            return None


def _written(node: exp.Literal) -> Number | None:
    """Return a number that is cast, or the whole number that a text says."""
    if not node.is_string:
        return number(node)
    text = str(node.this).strip()
    return int(text) if WHOLE.fullmatch(text) else None


def _cast(value: Number | None, target: exp.DType) -> Number | None:
    """Return a number cast to a type; None where casting may change it in a way that is left to PostgreSQL."""
    if value is not None and target is exp.DType.DOUBLE:
        return float(value)
    return value if isinstance(value, int) and target in INTEGERS else None


def _arithmetic(node: exp.Binary, left: Number | None, right: Number | None) -> Number | None:
    if left is None or right is None:
        return None
    match node:
        case exp.Add():
            return left + right
        case exp.Sub():
            return left - right
        case exp.Mul():
            return left * right
    return None if right == 0 else _quotient(node, left, right)  # PostgreSQL raises


def _quotient(node: exp.Binary, left: Number, right: Number) -> Number | None:
    if not isinstance(left, int) or not isinstance(right, int):
        return left / right
    # Cut off towards zero, where the dialect divides integers as PostgreSQL does.
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1) if node.args.get("typed") else None


def value(node: exp.Expr | None) -> Number | str | None:
    """Return the value of a numeric or text constant, or None."""
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    return number(node)

"""The value of an expression without columns."""

import re

import numpy as np
from sqlglot import exp

Number = int | float

INTEGERS = {exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT}

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
"""A text that PostgreSQL reads as a bigint for certain; in a smaller type it may be out of range, which is an error there."""

DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

MOMENTS = {
    exp.DType.DATE: re.compile(DAY),
    exp.DType.TIMESTAMP: re.compile(DAY + r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"),
}
"""Texts that PostgreSQL reads as a day, or as a time without a zone, in one way, whatever its settings are."""

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


def moment(node: exp.Expr | None) -> np.datetime64 | None:
    """Return the time that a constant is beside a column of times without a zone, or None."""
    match node:
        case exp.Paren():
            return moment(node.this)
        case exp.Cast(this=exp.Literal(is_string=True)) if node.to.this in MOMENTS and not node.to.expressions:
            return _moment(str(node.this.this), node.to.this)
        case exp.Literal(is_string=True):
            return _moment(str(node.this), exp.DType.TIMESTAMP)
        case _:
            return None


def _moment(text: str, kind: exp.DType) -> np.datetime64 | None:
    if not MOMENTS[kind].fullmatch(text):
        return None
    try:
        return np.datetime64(text, "us")
    except ValueError:  # no such day, or 24:00, which is the next day to PostgreSQL
        return None


def truth(node: exp.Expr | None) -> bool | None:
    """Return the value of TRUE and FALSE, None of anything else."""
    return bool(node.this) if isinstance(node, exp.Boolean) else None

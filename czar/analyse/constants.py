"""The value of an expression without columns."""

from sqlglot import exp

Number = int | float


def number(node: exp.Expr | None) -> Number | None:
    """Return the value of a numeric constant, or None for anything else. Integers stay exact at any size."""
    match node:
        case exp.Paren() | exp.Cast(this=exp.Literal(is_string=False)):
            return number(node.this)
        case exp.Neg():
            value = number(node.this)
            return None if value is None else -value
        case exp.Literal(is_string=False):
            text = str(node.this)
            return int(text) if text.isdigit() else float(text)
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Div():
            return _arithmetic(node, number(node.left), number(node.right))
        case _:
            return None


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
        case _ if right == 0 or (isinstance(left, int) and isinstance(right, int)):
            return None  # PostgreSQL raises, or truncates; left to it
        case _:
            return left / right


def value(node: exp.Expr | None) -> Number | str | None:
    """Return the value of a numeric or text constant, or None."""
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    return number(node)

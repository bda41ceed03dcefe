"""Decimal literals of ADQL are double precision; those of PostgreSQL are ``numeric`` (slow, and of another type in a result)."""

from collections.abc import Iterable

from sqlglot import exp

from tap.adql.geometry import GEOMETRY

SIGNS = (exp.Neg, exp.Paren)
COMPARING = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)


def type_decimals(literals: Iterable[exp.Literal]) -> None:
    """Cast decimal literals to double precision, in place, except where a literal alone means the same.

    Alone in a comparison or a geometry, a number is compared as double precision with a floating column and exactly with an
    integer one, and the czar reads it there to find chunks.
    """
    for literal in literals:
        parent = literal.parent
        while isinstance(parent, SIGNS):
            parent = parent.parent
        if isinstance(parent, COMPARING) or (isinstance(parent, exp.Anonymous) and parent.name in GEOMETRY):
            continue
        if isinstance(literal.parent, exp.Cast):
            continue
        copied = literal.copy()
        literal.replace(exp.Cast(this=copied, to=exp.DataType(this=exp.DType.DOUBLE, nested=False)))

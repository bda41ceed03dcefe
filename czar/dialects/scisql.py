"""Functions of sciSQL (MySQL, https://github.com/smonkewitz/scisql) that are no plain functions here.

Its other functions have the same names in PostgreSQL schema ``qserv`` of every node (``workers.functions``).
"""

from typing import Final

from sqlglot import exp

from czar.dialects.places import place_of
from qserv.errors import QueryError

INSTEAD: Final = {
    "scisql_s2cpolytobin": "write the vertices themselves: scisql_s2PtInCPoly(lon, lat, lon1, lat1, lon2, lat2, lon3, lat3, ...)",
    "scisql_s2circlehtmranges": "no HTM index is needed: scisql_s2PtInCircle(lon, lat, ...) = 1 prunes by itself",
    "scisql_s2cpolyhtmranges": "no HTM index is needed: scisql_s2PtInCPoly(lon, lat, ...) = 1 prunes by itself",
    "scisql_extractint64": "it reads the ranges of scisql_s2CircleHtmRanges, which are not needed here",
    "scisql_raiseerror": "a query answers or fails by itself",
    "scisql_fail": "a query answers or fails by itself",
}
"""What to write in place of functions that work on MySQL's binary texts or on its indexes."""

AGGREGATES: Final = frozenset({"scisql_median", "scisql_percentile"})


def with_scisql_aggregates(tree: exp.Expr, text: str) -> None:
    """Turn ``scisql_median`` and ``scisql_percentile`` into PERCENTILE_CONT, which has the same interpolation.

    Raises
    ------
    QueryError
        A function of sciSQL makes no sense here, or an aggregate has a wrong number of arguments; with what to write instead.
    """
    for call in list(tree.find_all(exp.Anonymous)):
        name = call.name.lower()
        if name in INSTEAD:
            msg = f"{call.name} is not available: {INSTEAD[name]}"
            raise QueryError(msg, place_of(call, text))
        if name == "scisql_median":
            (values,) = _arguments(call, 1, text)
            call.replace(_percentile(values, exp.Literal.number("0.5")))
        elif name == "scisql_percentile":
            values, percent = _arguments(call, 2, text)
            # NULL where the percentage is out of its range; PostgreSQL would end the query.
            allowed = exp.Between(this=exp.Paren(this=percent), low=exp.Literal.number(0), high=exp.Literal.number(100))
            fraction = exp.Div(this=exp.Paren(this=percent.copy()), expression=exp.Literal.number("100.0"))
            call.replace(_percentile(values, exp.Case(ifs=[exp.If(this=allowed, true=fraction)])))


def _arguments(call: exp.Anonymous, wanted: int, text: str) -> list[exp.Expr]:
    if len(call.expressions) != wanted:
        msg = f"{call.name} takes {wanted} {'argument' if wanted == 1 else 'arguments'}, {len(call.expressions)} were given"
        raise QueryError(msg, place_of(call, text))
    return call.expressions


def _percentile(values: exp.Expr, fraction: exp.Expr) -> exp.WithinGroup:
    """Sort in double precision, as sciSQL does; NaN counts as NULL."""
    value = exp.Nullif(this=exp.cast(values, exp.DType.DOUBLE), expression=exp.cast(exp.Literal.string("NaN"), exp.DType.DOUBLE))
    order = exp.Order(expressions=[exp.Ordered(this=value)])
    return exp.WithinGroup(this=exp.PercentileCont(this=fraction), expression=order)

"""Rule: every function is known, and means in PostgreSQL what its writer meant."""

from collections.abc import Callable

from sqlglot import exp

from czar.analyse.query import Query
from czar.catalogue import nearest
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, UnknownNameError

AGGREGATES: tuple[type[exp.Expr], ...] = (
    exp.Count,
    exp.Sum,
    exp.Avg,
    exp.Min,
    exp.Max,
    exp.Stddev,
    exp.StddevSamp,
    exp.StddevPop,
    exp.Variance,
    exp.VariancePop,
)

PARSED: frozenset[type] = frozenset(
    {
        *(exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sqrt, exp.Cbrt, exp.Exp, exp.Ln, exp.Log, exp.Pow),
        *(exp.Degrees, exp.Radians, exp.Pi, exp.Sin, exp.Cos, exp.Tan, exp.Cot, exp.Asin, exp.Acos, exp.Atan, exp.Atan2),
        *(exp.Sinh, exp.Cosh, exp.Tanh, exp.Asinh, exp.Acosh, exp.Atanh, exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif),
        *(exp.Lower, exp.Upper, exp.Length, exp.Substring, exp.Left, exp.Right, exp.Trim, exp.Replace, exp.StrPosition),
        *(exp.Concat, exp.ConcatWs, exp.Reverse, exp.SplitPart, exp.RegexpReplace, exp.RegexpLike, exp.RegexpILike),
        *(exp.Initcap, exp.Ascii, exp.Chr, exp.MD5, exp.StartsWith, exp.Extract, exp.TimestampTrunc),
        *(exp.And, exp.Or, exp.Xor, exp.Case, exp.If, exp.Cast, exp.Contains),
        *AGGREGATES,
    },
)
"""Functions that sqlglot has a class for. Each is immutable and a plain function of its arguments in PostgreSQL."""

BY_NAME = frozenset(
    {"sind", "cosd", "tand", "cotd", "asind", "acosd", "atand", "atan2d", "octet_length", "gcd", "lcm", "log10"},
)
"""Functions of PostgreSQL that sqlglot passes through by their names."""

SKY = frozenset(
    {
        *("point", "circle", "box", "polygon", "distance", "intersects", "contains"),
        *("qserv_areaspec_box", "qserv_areaspec_circle", "qserv_areaspec_ellipse", "qserv_areaspec_poly"),
        *("scisql_angsep", "scisql_s2ptincircle", "scisql_s2ptinbox", "scisql_s2ptinellipse", "scisql_s2ptincpoly"),
    },
)
"""Functions that rule `lower_geometry` turns into those of schema ``qserv``."""

NODE_FUNCTIONS = frozenset(
    {
        *("angular_separation", "in_circle", "in_lonlat_box", "in_ellipse", "in_polygon"),
        *("ln", "log10", "exp", "sqrt", "power", "asin", "acos", "divide", "truncate", "round", "mod", "widen", "total"),
        *("nanojansky_to_abmag", "nanojansky_to_abmag_sigma", "abmag_to_nanojansky", "abmag_to_nanojansky_sigma"),
        *("scisql_nanojanskytoabmag", "scisql_nanojanskytoabmagsigma", "scisql_abmagtonanojansky"),
        *("scisql_abmagtonanojanskysigma", "scisql_fluxtoabmag", "scisql_fluxtoabmagsigma", "scisql_abmagtoflux"),
        *("scisql_abmagtofluxsigma", "scisql_dntoabmag", "scisql_dntoabmagsigma", "scisql_dntoflux", "scisql_dntofluxsigma"),
        *("scisql_fluxtodn", "scisql_fluxtodnsigma", "scisql_abmagtodn", "scisql_abmagtodnsigma"),
    },
)
"""Functions in schema ``qserv`` of every node (``workers.functions``)."""

DIGITS_OF_BIGINT = 18
"""Any whole number of so many digits is a bigint."""

TYPES = {
    *(exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.BOOLEAN),
    *(exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.TIMESTAMP, exp.DType.DATE),
}
"""Types that CAST may name. DECIMAL without digits is read as double precision: no answer is of type numeric."""


def known_functions(query: Query) -> Query:
    """Check every function and cast, and rewrite those whose PostgreSQL form is for numeric alone.

    Raises
    ------
    UnknownNameError
        No function has the name.
    NotYetSupportedError
        It is a function or a type of PostgreSQL that the engine does not answer yet.
    """

    def rewrite(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Dot):
            return _node_function(node, query)
        if isinstance(node, exp.Anonymous):
            return _anonymous(node, query)
        if isinstance(node, exp.Func) and type(node) not in PARSED:
            msg = f"not yet supported: function {node.sql_name()}"
            raise NotYetSupportedError(msg, place_of(node, query.text))
        if isinstance(node, exp.Literal) and _is_numeric(node):
            return exp.cast(node, exp.DType.DOUBLE, copy=False)
        change = _REWRITES.get(type(node))
        return change(node) if change else _checked_cast(node, query)

    query.tree.transform(rewrite, copy=False)
    return query


def _is_numeric(node: exp.Literal) -> bool:
    """Return whether PostgreSQL reads a number as numeric, which answers and groups must not be: decimals, and beyond bigint.

    A whole number beyond bigint that is compared stays: as a double it would equal the largest bigint.
    """
    if node.is_string:
        return False
    if not str(node.this).isdigit():
        return True
    around = node.parent
    while isinstance(around, exp.Neg | exp.Paren):
        around = around.parent
    return (
        len(node.this) > DIGITS_OF_BIGINT
        and int(node.this) >= 2**63
        and not isinstance(around, exp.Predicate | exp.In | exp.Limit | exp.Offset)
    )


def node_function(name: str, *arguments: exp.Expr) -> exp.Dot:
    """Return a call of a function in schema ``qserv``."""
    call = exp.Anonymous(this=name, expressions=list(arguments))
    return exp.Dot(this=exp.to_identifier("qserv"), expression=call)


def called(node: exp.Expr) -> tuple[str, list[exp.Expr]] | None:
    """Return the lower-case name and the arguments of a call by name, with or without the schema ``qserv``."""
    call = node.expression if isinstance(node, exp.Dot) and node.this.name == "qserv" else node
    return (call.name.lower(), list(call.expressions)) if isinstance(call, exp.Anonymous) else None


def _node_function(node: exp.Dot, query: Query) -> exp.Expr:
    call = node.expression
    if node.this.name.lower() == "qserv" and isinstance(call, exp.Anonymous) and call.name.lower() in NODE_FUNCTIONS:
        return node
    msg = f"unknown function {node.sql('postgres').split('(')[0]}"
    raise UnknownNameError(msg, place_of(node, query.text))


def _anonymous(node: exp.Anonymous, query: Query) -> exp.Expr:
    name = node.name.lower()
    if isinstance(node.parent, exp.Dot) or name in BY_NAME or name in SKY:
        return node
    if name in NODE_FUNCTIONS:
        return node_function(name, *node.expressions)
    known = [kind.sql_name().lower() for kind in PARSED if issubclass(kind, exp.Func)]
    msg = f"unknown function {node.name}{nearest(name, [*known, *BY_NAME, *SKY, *NODE_FUNCTIONS])}"
    raise UnknownNameError(msg, place_of(node, query.text))


def _checked_cast(node: exp.Expr, query: Query) -> exp.Expr:
    if not isinstance(node, exp.Cast):
        return node
    if node.to.this == exp.DType.DECIMAL and node.to.expressions:
        msg = f"not yet supported: CAST to {node.to.sql('postgres')}; ROUND(value, digits) rounds"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    if node.to.this == exp.DType.DECIMAL:
        return exp.cast(node.this, exp.DType.DOUBLE)
    if node.to.this not in TYPES:
        msg = f"not yet supported: CAST to {node.to.sql('postgres')}"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    return node


def _logarithm(node: exp.Expr) -> exp.Expr:
    """LOG10 is parsed as log(10, x), which PostgreSQL has for numeric alone."""
    base, argument = node.this, node.args.get("expression")
    if argument is None:
        return node
    if isinstance(base, exp.Literal) and base.this == "10":
        return exp.Anonymous(this="log10", expressions=[argument])
    return exp.Div(this=exp.Ln(this=argument), expression=exp.Ln(this=base))


def _with_digits(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """Two-argument ROUND and TRUNC are for numeric alone in PostgreSQL; ours are for double precision."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        digits = node.args.get("decimals")
        return node if digits is None else node_function(name, node.this, digits)

    return rewrite


def _as_double(node: exp.Expr) -> exp.Expr:
    """EXTRACT gives numeric."""
    return node if isinstance(node.parent, exp.Cast) else exp.cast(node.copy(), exp.DType.DOUBLE)


_REWRITES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Log: _logarithm,
    exp.Round: _with_digits("round"),
    exp.Trunc: _with_digits("truncate"),
    exp.Extract: _as_double,
}

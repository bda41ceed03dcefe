"""Rule: every function is known, and means in PostgreSQL what its writer meant."""

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from czar.analyse.nesting import parts
from czar.analyse.query import Query
from czar.catalogue import nearest
from czar.dialects import aggregates as dialects
from czar.dialects.aggregates import WINDOW_FUNCTIONS
from czar.dialects.calls import called, function_name, node_function
from czar.dialects.functions import NAMES, NUMERIC_ONLY, ROWS
from czar.dialects.places import place_of
from qserv.errors import NotYetSupportedError, UnknownNameError

__all__ = ["AGGREGATES", "NODE_FUNCTIONS", "SKY", "called", "known_functions", "node_function"]

AGGREGATES: tuple[type[exp.Expr], ...] = tuple(dialects.AGGREGATES)

PARSED: frozenset[type] = frozenset(
    {
        *(exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sqrt, exp.Cbrt, exp.Exp, exp.Ln, exp.Log, exp.Pow),
        *(exp.Degrees, exp.Radians, exp.Pi, exp.Sin, exp.Cos, exp.Tan, exp.Cot, exp.Asin, exp.Acos, exp.Atan, exp.Atan2),
        *(exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif, exp.Lower, exp.Upper, exp.Substring, exp.Trim, exp.StrPosition),
        *(exp.Overlay, exp.Normalize, exp.Extract, exp.RegexpLike, exp.RegexpILike, exp.StartsWith, exp.Rand),
        *(exp.Array, exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps, exp.Overlaps),
        *(exp.And, exp.Or, exp.Case, exp.If, exp.Cast, exp.Contains, exp.Exists, exp.Collate),
        *(exp.Unnest, exp.Explode, exp.ExplodingGenerateSeries),
        *dialects.AGGREGATES,
        *WINDOW_FUNCTIONS,
    },
)
"""Functions and operators that sqlglot has a class for; trees of ADQL have more of them than those of the native dialect."""

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
        *("ln", "log10", "exp", "sqrt", "power", "asin", "acos", "divide", "truncate", "round", "mod"),
        *("widen", "summand", "total", "sum_low", "sum_high", "mean", "carried", "as_list", "iso_text", "lot"),
        *("modulo", "quotient", "int_divide", "truth", "mysql_substr"),
        *("scisql_getversion", "scisql_s2htmid", "scisql_s2htmlevel"),
        *("nanojansky_to_abmag", "nanojansky_to_abmag_sigma", "abmag_to_nanojansky", "abmag_to_nanojansky_sigma"),
        *("scisql_nanojanskytoabmag", "scisql_nanojanskytoabmagsigma", "scisql_abmagtonanojansky"),
        *("scisql_abmagtonanojanskysigma", "scisql_fluxtoabmag", "scisql_fluxtoabmagsigma", "scisql_abmagtoflux"),
        *("scisql_abmagtofluxsigma", "scisql_dntoabmag", "scisql_dntoabmagsigma", "scisql_dntoflux", "scisql_dntofluxsigma"),
        *("scisql_fluxtodn", "scisql_fluxtodnsigma", "scisql_abmagtodn", "scisql_abmagtodnsigma"),
    },
)
"""Functions in schema ``qserv`` of every node (``workers.functions``)."""

BYTE_ORDERS = {"C", "POSIX"}
"""Collations in which texts are ordered by their bytes, as they are everywhere here."""

DIGITS_OF_BIGINT = 18
"""Any whole number of so many digits is a bigint."""

TYPES = {
    *(exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL, exp.DType.BOOLEAN),
    *(exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.VARBINARY),
    *(exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATE, exp.DType.TIME, exp.DType.TIMETZ, exp.DType.INTERVAL),
}
"""Types that CAST may name, and arrays of them."""

AROUND: Final = exp.Neg | exp.Paren | exp.Array | exp.Any | exp.All
"""What a number can be written in and stay the number that is cast, or compared."""

AROUND_COMPARED: Final = (
    AROUND | exp.Coalesce | exp.Greatest | exp.Least | exp.Nullif | exp.Case | exp.If | exp.Add | exp.Sub | exp.Mul
)
"""What gives integers of whole numbers, however large."""

NUMERIC_FORMS = {"log", "round", "trunc", "mod", "div"}
"""Functions that PostgreSQL has for numeric alone in the form with two arguments; ours take double precision too."""


def known_functions(query: Query) -> Query:
    """Check every function and cast, and rewrite those whose PostgreSQL form is for numeric alone.

    Raises
    ------
    UnknownNameError
        No function has the name.
    NotYetSupportedError
        It is a function or a type of PostgreSQL that the engine does not answer yet.
    """
    for collation in [part for part in parts(query.tree) if isinstance(part, exp.Collate) and part.expression.name in BYTE_ORDERS]:
        collation.replace(collation.this)
    for node in reversed([part for part in parts(query.tree) if not isinstance(part, exp.Column)]):  # what is inside comes first
        around, key, index = node.parent, node.arg_key, node.index
        meant = _meant(node, query)
        if meant is not node and around is not None and key is not None:
            around.set(key, meant, index)
    return query


def _meant(node: exp.Expr, query: Query) -> exp.Expr:
    """Return what stands for a part of the query in PostgreSQL."""
    if isinstance(node, exp.Dot):
        return _node_function(node, query)
    if _makes_rows(node) and not isinstance(node.parent, exp.From | exp.Join | exp.Lateral | exp.Table | exp.Unnest):
        msg = f"not yet supported: {function_name(node).upper()} outside of FROM; it makes rows, not a value"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    if isinstance(node, exp.Anonymous):
        return _anonymous(node, query)
    if isinstance(node, exp.Collate):
        other = node.expression.sql("postgres")
        msg = f'not yet supported: COLLATE {other}; texts are ordered by their bytes, as COLLATE "C" does'
        raise NotYetSupportedError(msg, place_of(node, query.text))
    if isinstance(node, exp.Func) and type(node) not in PARSED:
        msg = f"unknown function {node.sql_name()}{nearest(node.sql_name().lower(), _known_names())}"
        raise UnknownNameError(msg, place_of(node, query.text))
    if isinstance(node, exp.Literal) and _is_numeric(node):
        return exp.cast(node, exp.DType.DOUBLE, copy=False)
    change = _REWRITES.get(type(node))
    return change(node) if change else _checked_cast(node, query)


def _is_numeric(node: exp.Literal) -> bool:
    """Return whether PostgreSQL reads a number as numeric, which answers and groups must not be: decimals, and beyond bigint.

    A whole number beyond bigint that is compared stays, also in a choice or a sum: as a double it would equal the largest bigint
    and make doubles of the integers beside it.
    """
    if node.is_string:
        return False
    whole = str(node.this).isdigit()
    around = node.parent
    while isinstance(around, AROUND_COMPARED if whole else AROUND):
        around = around.parent
    if isinstance(around, exp.Cast) or (isinstance(around, exp.Anonymous) and around.name.lower() in NUMERIC_ONLY):
        return False
    if not whole:
        return True
    return (
        len(node.this) > DIGITS_OF_BIGINT
        and int(node.this) >= 2**63
        and not isinstance(around, exp.Predicate | exp.In | exp.Limit | exp.Offset)
    )


def _makes_rows(node: exp.Expr) -> bool:
    by_name = isinstance(node, exp.Anonymous) and node.name.lower() in ROWS
    return by_name or isinstance(node, exp.Unnest | exp.Explode | exp.ExplodingGenerateSeries)


def _node_function(node: exp.Dot, query: Query) -> exp.Expr:
    call = node.expression
    if node.this.name.lower() == "qserv" and isinstance(call, exp.Anonymous) and call.name.lower() in NODE_FUNCTIONS:
        return node
    msg = f"unknown function {node.sql('postgres').split('(')[0]}"
    raise UnknownNameError(msg, place_of(node, query.text))


def _anonymous(node: exp.Anonymous, query: Query) -> exp.Expr:
    name = node.name.lower()
    if isinstance(node.parent, exp.Dot) or name in SKY:
        return node
    if name in NUMERIC_FORMS:
        return _for_doubles(name, node)
    if name in NAMES | ROWS:
        return node
    if name in NODE_FUNCTIONS:
        return node_function(name, *node.expressions)
    msg = f"unknown function {node.name}{nearest(name, _known_names())}"
    raise UnknownNameError(msg, place_of(node, query.text))


def _known_names() -> list[str]:
    parsed = [kind.sql_name().lower() for kind in PARSED if issubclass(kind, exp.Func)]
    return [*parsed, *NAMES, *ROWS, *SKY, *NODE_FUNCTIONS]


def _checked_cast(node: exp.Expr, query: Query) -> exp.Expr:
    if not isinstance(node, exp.Cast):
        return node
    to = node.to
    while to.this == exp.DType.ARRAY and to.expressions:
        to = to.expressions[0]
    if to.this not in TYPES:
        msg = f"not yet supported: CAST to {node.to.sql('postgres')}"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    return node


def _for_doubles(name: str, node: exp.Anonymous) -> exp.Expr:
    """Return what a function means in the form that PostgreSQL has for numeric alone."""
    arguments = node.expressions
    if len(arguments) != 2:  # noqa: PLR2004 (the form with two arguments)
        return node
    match name:
        case "log":
            return _logarithm(exp.Log(this=arguments[0], expression=arguments[1]))
        case "mod":
            return node_function("modulo", *arguments)
        case "div":
            return node_function("quotient", *arguments)
        case _:
            return node_function({"round": "round", "trunc": "truncate"}[name], *arguments)


def _logarithm(node: exp.Expr) -> exp.Expr:
    """LOG10 is parsed as log(10, x) in ADQL."""
    base, argument = node.this, node.args.get("expression")
    if argument is None:
        return node
    if isinstance(base, exp.Literal) and base.this == "10":
        return exp.Anonymous(this="log10", expressions=[argument])
    return exp.Paren(this=exp.Div(this=exp.Ln(this=argument), expression=exp.Ln(this=base)))


def _with_digits(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """Two-argument ROUND and TRUNC are for numeric alone in PostgreSQL; ours are for double precision."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        digits = node.args.get("decimals")
        return node if digits is None else node_function(name, node.this, digits)

    return rewrite


def _remainder(node: exp.Expr) -> exp.Expr:
    """PostgreSQL has ``%`` for integers and numeric; ours is for double precision too."""
    return node_function("modulo", node.this, node.expression)


def _extracted(node: exp.Expr) -> exp.Expr:
    """EXTRACT gives numeric; of two times, the difference must be taken before it is rounded to double precision."""
    return node if isinstance(node.parent, exp.Cast) or _is_of_extracted(node.parent) else _as_double(node)


def _difference(node: exp.Expr) -> exp.Expr:
    return _as_double(node) if _is_of_extracted(node) else node


def _is_of_extracted(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Sub) and isinstance(node.left, exp.Extract) and isinstance(node.right, exp.Extract)


def _as_double(node: exp.Expr) -> exp.Expr:
    return exp.cast(node.copy(), exp.DType.DOUBLE)


_REWRITES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Log: _logarithm,
    exp.Round: _with_digits("round"),
    exp.Trunc: _with_digits("truncate"),
    exp.Mod: _remainder,
    exp.Extract: _extracted,
    exp.Sub: _difference,
}

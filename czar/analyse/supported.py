"""Rule: the query is made of parts that the engine answers today. What is valid but not yet there is named, with its place."""

import re

from sqlglot import exp

from czar.analyse.nesting import own, parts, within
from czar.analyse.query import Query
from czar.dialects.number_lists import lists_numbers
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError

CLAUSES = {
    *("expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct", "with_", "windows"),
    *("kind", "hint"),
}
"""Arguments of a SELECT that are understood; ``kind`` and ``hint`` are empty in PostgreSQL's form."""

NAMED: dict[type[exp.Expr], str] = {
    exp.Operator: "OPERATOR(...)",
    exp.Placeholder: "a query parameter",
    exp.Parameter: "a query parameter",
    exp.TableSample: "TABLESAMPLE",
}

PARTS: tuple[type[exp.Expr], ...] = (
    exp.Alias,
    exp.All,
    exp.Any,
    exp.AtTimeZone,
    exp.Array,
    exp.ArraySlice,
    exp.Between,
    exp.Binary,
    exp.Boolean,
    exp.Bracket,
    exp.ByteString,
    exp.CTE,
    exp.Case,
    exp.Column,
    exp.Cube,
    exp.DataType,
    exp.DataTypeParam,
    exp.Distinct,
    exp.Dot,
    exp.Exists,
    exp.Fetch,
    exp.Filter,
    exp.From,
    exp.Func,
    exp.Group,
    exp.GroupingSets,
    exp.Having,
    exp.Identifier,
    exp.If,
    exp.In,
    exp.Interval,
    exp.Is,
    exp.Join,
    exp.Lateral,
    exp.Limit,
    exp.LimitOptions,
    exp.Literal,
    exp.Neg,
    exp.BitwiseNot,
    exp.Not,
    exp.Null,
    exp.Offset,
    exp.Order,
    exp.Ordered,
    exp.Paren,
    exp.Query,
    exp.Rollup,
    exp.Slice,
    exp.Star,
    exp.Table,
    exp.TableAlias,
    exp.Tuple,
    exp.Values,
    exp.Var,
    exp.Where,
    exp.Window,
    exp.WindowSpec,
    exp.With,
    exp.WithinGroup,
)
"""Everything else is refused, because a part that nobody thought of must not give a wrong answer."""

READ: dict[type[exp.Expr], frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        exp.CTE: "this alias materialized",
        exp.Cast: "this to",
        exp.Except: "this expression distinct with_ order limit offset",
        exp.Fetch: "direction count limit_options",
        exp.Group: "expressions all",
        exp.Intersect: "this expression distinct with_ order limit offset",
        exp.Join: "this on using side kind method",
        exp.Lateral: "this alias ordinality",
        exp.Limit: "expression",
        exp.LimitOptions: "rows with_ties",
        exp.Order: "this expressions",
        exp.Ordered: "this desc nulls_first",
        exp.Slice: "this expression",
        exp.Star: "",
        exp.Subquery: "this alias with_ order limit offset joins",
        exp.Table: "this db catalog alias joins only ordinality pivots",
        exp.Union: "this expression distinct with_ order limit offset",
        exp.Unnest: "expressions alias offset",
        exp.Values: "expressions alias",
        exp.Window: "this partition_by order spec over alias",
        exp.With: "expressions recursive",
    }.items()
}
"""Arguments of clauses that are understood: the parser reads more than PostgreSQL has, and nothing may be passed over."""

JOINS = {"", "INNER", "CROSS", "OUTER"}
"""Kinds of joins; ``SEMI`` and the like are no words of PostgreSQL."""

ONE_VALUE = (exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop)
"""Aggregates of one argument."""

EXCLUDED = {"CURRENT ROW", "NO OTHERS"}
"""Words of a window's frame behind EXCLUDE that are two."""

WORD = re.compile(r"\w+", re.ASCII)
"""What a bare word of the query, such as the field of EXTRACT, may be: it reaches PostgreSQL without quotes."""


def supported(query: Query) -> Query:
    """Return the query unchanged.

    Raises
    ------
    NotYetSupportedError
        A clause or an expression is not answered yet.
    QueryError
        A clause has no meaning in a query.
    """
    for part in parts(query.tree):
        if isinstance(part, exp.Select):
            _known_clauses(part, query)
        refused = _refused(part)
        if refused is not None:
            msg = f"not yet supported: {refused}"
            raise NotYetSupportedError(msg, place_of(part, query.text))
        if isinstance(part, exp.AggFunc):
            _placed_aggregate(part, query)
    return query


def _known_clauses(select: exp.Select, query: Query) -> None:
    for name, value in select.args.items():
        if value and name not in CLAUSES:
            words = {"into": "SELECT INTO", "locks": "FOR UPDATE"}
            msg = f"not yet supported: {words.get(name, name.strip('_').upper())}"
            raise NotYetSupportedError(msg, _place(value, query))


def _refused(part: exp.Expr) -> str | None:
    """Return the name of a part that is not answered yet, or None."""
    if isinstance(part, exp.Var) and not WORD.fullmatch(part.name) and part.name not in EXCLUDED and not lists_numbers(part.parent):
        return f"the field {part.name[:60]}"
    is_row = isinstance(part, exp.Tuple) or (isinstance(part, exp.Anonymous) and part.name.lower() == "row")
    if is_row and isinstance(part.parent, exp.Select | exp.Alias):
        return "a row of several values outside of a comparison"
    for name, value in part.args.items() if type(part) in READ else ():
        if value and name not in READ[type(part)]:
            return f"{name.strip('_').upper().replace('_', ' ')} of {type(part).__name__.upper()}"
    if isinstance(part, exp.Join) and part.kind not in JOINS:
        return f"{part.kind} JOIN"
    named = next((name for kind, name in NAMED.items() if isinstance(part, kind)), None)
    if named is not None or isinstance(part, PARTS):
        return named
    return f"{type(part).__name__.lower()} ({part.sql('postgres', comments=False)[:60]})"


def _placed_aggregate(part: exp.AggFunc, query: Query) -> None:
    place = place_of(part, query.text)
    if within(part, exp.Window):
        return
    if within(part, exp.Where, exp.Join, exp.Group) and not within(part, exp.Filter):
        msg = "an aggregate stands in WHERE, ON or GROUP BY; conditions on aggregates go into HAVING"
        raise QueryError(msg, place)
    if isinstance(part, ONE_VALUE) and part.expressions:
        msg = f"{part.sql_name()} takes one value, {len(part.expressions) + 1} were given"
        raise QueryError(msg, place)
    if any(inner is not part for inner in own(part, exp.AggFunc)):
        msg = "an aggregate stands inside another one"
        raise QueryError(msg, place)


def _place(value: object, query: Query) -> Place | None:
    node = value[0] if isinstance(value, list) else value
    return place_of(node, query.text) if isinstance(node, exp.Expr) else None

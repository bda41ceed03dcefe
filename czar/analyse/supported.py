"""Rule: the query is made of parts that the engine answers today. What is valid but not yet there is named, with its place."""

import re

from sqlglot import exp

from czar.analyse.query import Query
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError

CLAUSES = {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct", "kind", "hint"}
"""Arguments of a SELECT that are understood; ``kind`` and ``hint`` are empty in PostgreSQL's form."""

NAMED: dict[type[exp.Expr], str] = {
    exp.Subquery: "a subquery",
    exp.Select: "a subquery",
    exp.Exists: "EXISTS",
    exp.SetOperation: "UNION, EXCEPT and INTERSECT",
    exp.Window: "a window function (OVER)",
    exp.Filter: "FILTER on an aggregate",
    exp.WithinGroup: "WITHIN GROUP",
    exp.Lateral: "LATERAL",
    exp.ByteString: "a text with escapes (E'...')",
    exp.Operator: "OPERATOR(...)",
    exp.Placeholder: "a query parameter",
    exp.Parameter: "a query parameter",
    exp.Rand: "random()",
    exp.CurrentTimestamp: "the current time",
    exp.CurrentDate: "the current date",
}

PARTS: tuple[type[exp.Expr], ...] = (
    exp.Alias,
    exp.Between,
    exp.Binary,
    exp.Boolean,
    exp.Case,
    exp.Column,
    exp.DataType,
    exp.DataTypeParam,
    exp.Distinct,
    exp.Dot,
    exp.From,
    exp.Func,
    exp.Group,
    exp.Having,
    exp.Identifier,
    exp.If,
    exp.In,
    exp.Interval,
    exp.Is,
    exp.Join,
    exp.Limit,
    exp.Literal,
    exp.Neg,
    exp.BitwiseNot,
    exp.Not,
    exp.Null,
    exp.Offset,
    exp.Order,
    exp.Ordered,
    exp.Paren,
    exp.Star,
    exp.Table,
    exp.TableAlias,
    exp.Tuple,
    exp.Var,
    exp.Where,
)
"""Everything else is refused, because a part that nobody thought of must not give a wrong answer."""

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
    _known_clauses(query)
    for part in query.tree.walk():
        if part is query.tree:
            continue
        refused = _refused(part)
        if refused is not None:
            msg = f"not yet supported: {refused}"
            raise NotYetSupportedError(msg, place_of(part, query.text))
        if isinstance(part, exp.AggFunc):
            _plain_aggregate(part, query)
    return query


def _known_clauses(query: Query) -> None:
    tree = query.tree
    for name, value in tree.args.items():
        if value and name not in CLAUSES:
            words = {"with_": "WITH", "windows": "WINDOW", "into": "SELECT INTO", "locks": "FOR UPDATE"}
            msg = f"not yet supported: {words.get(name, name.strip('_').upper())}"
            raise NotYetSupportedError(msg, _place(value, query))


def _refused(part: exp.Expr) -> str | None:  # noqa: PLR0911 (one return a form)
    """Return the name of a part that is not answered yet, or None."""
    if isinstance(part, exp.Distinct) and part.args.get("on"):
        return "DISTINCT ON"
    if isinstance(part, exp.Between) and part.args.get("symmetric"):
        return "BETWEEN SYMMETRIC"
    if isinstance(part, exp.Group) and any(value for name, value in part.args.items() if name != "expressions"):
        return "GROUPING SETS, ROLLUP, CUBE and GROUP BY ALL"
    if isinstance(part, exp.Var) and not WORD.fullmatch(part.name):
        return f"the field {part.name[:60]}"
    if isinstance(part, exp.Tuple) and not isinstance(part.parent, exp.Predicate):
        return "a row of several values outside of a comparison"
    named = next((name for kind, name in NAMED.items() if isinstance(part, kind)), None)
    if named is not None or isinstance(part, PARTS):
        return named
    return f"{type(part).__name__.lower()} ({part.sql('postgres', comments=False)[:60]})"


def _plain_aggregate(part: exp.AggFunc, query: Query) -> None:
    place = place_of(part, query.text)
    if isinstance(part.this, exp.Distinct | exp.Order):
        msg = "not yet supported: DISTINCT or ORDER BY inside an aggregate"
        raise NotYetSupportedError(msg, place)
    if part.find_ancestor(exp.Where, exp.Join, exp.Group):
        msg = "an aggregate stands in WHERE, ON or GROUP BY; conditions on aggregates go into HAVING"
        raise QueryError(msg, place)
    if part.expressions:
        msg = f"{part.sql_name()} takes one value, {len(part.expressions) + 1} were given"
        raise QueryError(msg, place)
    if any(inner is not part for inner in part.find_all(exp.AggFunc)):
        msg = "an aggregate stands inside another one"
        raise QueryError(msg, place)


def _place(value: object, query: Query) -> Place | None:
    node = value[0] if isinstance(value, list) else value
    return place_of(node, query.text) if isinstance(node, exp.Expr) else None

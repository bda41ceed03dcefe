"""Rule: forms that say the same as a plainer one are written as that one, so that the later rules know one form."""

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.nesting import body, own, parts
from czar.analyse.query import Query
from czar.dialects.places import place_of
from qserv.errors import QueryError

REAL_WHOLE = 2**24
"""Whole numbers up to this are each a REAL."""


def plain_forms(query: Query) -> Query:
    """Write named windows out where they are used, BETWEEN SYMMETRIC as two BETWEENs, numbers of VALUES or an array as a list, and
    ``= ANY (SELECT ...)`` and ``<> ALL (SELECT ...)`` with IN.

    Raises
    ------
    QueryError
        There is no window of a name.
    """
    forms = [part for part in parts(query.tree) if isinstance(part, exp.Between | exp.Window | exp.In | exp.EQ | exp.NEQ)]
    if any(isinstance(part, exp.Window) for part in forms):
        for select in list(query.tree.find_all(exp.Select)):
            _write_windows_out(select, query)
    for part in forms:
        if isinstance(part, exp.Between) and part.args.get("symmetric"):
            part.replace(_either_way(part))
        elif isinstance(part, exp.EQ | exp.NEQ) and _compares_with_rows(part):
            part.replace(_membership(part))
        elif isinstance(part, exp.In | exp.EQ):
            _list_written_out(part)
    return query


def _compares_with_rows(part: exp.EQ | exp.NEQ) -> bool:
    """Whether it is ``a = ANY (SELECT ...)`` or ``a <> ALL (SELECT ...)``."""
    kind = exp.Any if isinstance(part, exp.EQ) else exp.All
    return isinstance(part.right, kind) and isinstance(body(part.right.this), exp.Select | exp.SetOperation)


def _membership(part: exp.EQ | exp.NEQ) -> exp.Expr:
    """Return such a comparison as ``a IN (SELECT ...)``, or ``(NOT a IN (SELECT ...))``, which PostgreSQL hashes."""
    rows = part.right.this
    rows = rows if isinstance(rows, exp.Subquery) else exp.Subquery(this=rows)
    member = part.left if isinstance(part.left, exp.Column | exp.Tuple | exp.Paren) else exp.Paren(this=part.left)
    found = exp.In(this=member, query=rows)
    return found if isinstance(part, exp.EQ) else exp.Paren(this=exp.Not(this=found))


def _either_way(between: exp.Between) -> exp.Expr:
    low, high = between.args["low"], between.args["high"]
    ways = [exp.Between(this=between.this.copy(), low=one.copy(), high=other.copy()) for one, other in ((low, high), (high, low))]
    return exp.Paren(this=exp.Or(this=ways[0], expression=ways[1]))


def _list_written_out(part: exp.In | exp.EQ) -> None:
    """``a IN (VALUES (1), (2))`` and ``a = ANY (ARRAY[1, 2])`` are ``a IN (1, 2)``."""
    values: list[exp.Expr] = []
    if isinstance(part, exp.In) and len(part.expressions) == 1 and isinstance(part.expressions[0], exp.Values):
        rows = part.expressions[0].expressions
        values = [row.expressions[0] for row in rows if len(row.expressions) == 1]
        values = values if len(values) == len(rows) else []
    elif isinstance(part, exp.EQ) and isinstance(part.expression, exp.Any):
        array = part.expression.this.unnest()
        values = array.expressions if isinstance(array, exp.Array) and all(map(_is_the_same_as_real, array.expressions)) else []
    if not values or any(number(value) is None for value in values):
        return
    if isinstance(part, exp.In):
        part.set("expressions", values)
    else:
        part.replace(exp.In(this=part.this, expressions=values))


def _is_the_same_as_real(node: exp.Expr) -> bool:
    """Whether a whole number is one of REAL's: as REAL a column of that type is compared with those of a list, and with those of an
    array in double precision.
    """
    value = number(node)
    return not isinstance(value, int) or abs(value) <= REAL_WHOLE


def _write_windows_out(select: exp.Select, query: Query) -> None:
    """``OVER w`` and ``OVER (w ORDER BY ...)`` get what WINDOW says of ``w``."""
    named = {window.name.lower(): window for window in select.args.get("windows") or []}
    for window in named.values():
        _complete(window, named, query)
    for window in own(select, exp.Window):
        if isinstance(window, exp.Window) and window not in named.values():
            _complete(window, named, query)
    select.set("windows", None)


def _complete(window: exp.Window, named: dict[str, exp.Window], query: Query) -> None:
    base = window.args.get("alias")
    if base is None:
        return
    if base.name.lower() not in named:
        msg = f"unknown window {base.name}; WINDOW {base.name} AS (...) names one"
        raise QueryError(msg, place_of(window, query.text))
    window.set("alias", None)
    for part in ("partition_by", "order", "spec"):
        given = named[base.name.lower()].args.get(part)
        if given is not None and not window.args.get(part):
            window.set(part, [each.copy() for each in given] if isinstance(given, list) else given.copy())

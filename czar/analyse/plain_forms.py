"""Rule: forms that say the same as a plainer one are written as that one, so that the later rules know one form."""

from sqlglot import exp

from czar.analyse.nesting import own, parts
from czar.analyse.query import Query
from czar.dialects.places import place_of
from qserv.errors import QueryError


def plain_forms(query: Query) -> Query:
    """Write named windows out where they are used, and BETWEEN SYMMETRIC as two BETWEENs.

    Raises
    ------
    QueryError
        There is no window of a name.
    """
    forms = [part for part in parts(query.tree) if isinstance(part, exp.Between | exp.Window)]
    if any(isinstance(part, exp.Window) for part in forms):
        for select in list(query.tree.find_all(exp.Select)):
            _write_windows_out(select, query)
    for part in forms:
        if isinstance(part, exp.Between) and part.args.get("symmetric"):
            part.replace(_either_way(part))
    return query


def _either_way(between: exp.Between) -> exp.Expr:
    low, high = between.args["low"], between.args["high"]
    ways = [exp.Between(this=between.this.copy(), low=one.copy(), high=other.copy()) for one, other in ((low, high), (high, low))]
    return exp.Paren(this=exp.Or(this=ways[0], expression=ways[1]))


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

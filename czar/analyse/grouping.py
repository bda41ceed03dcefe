"""Which SELECTs make one row of several."""

from sqlglot import exp

from czar.analyse.nesting import own


def is_grouped(tree: exp.Select) -> bool:
    """Whether a SELECT makes one row of several."""
    return bool(tree.args.get("group") or tree.args.get("having") or own_aggregates(tree))


def own_aggregates(tree: exp.Expr) -> list[exp.Expr]:
    """Return the aggregates of a SELECT or a part of one that are no window functions and not inside of subqueries."""
    found = own(tree, exp.AggFunc)
    return [part for part in found if not _in_window(part)]


def _in_window(part: exp.Expr) -> bool:
    below = part
    while isinstance(below.parent, exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
        below = below.parent
    return isinstance(below.parent, exp.Window) and below.parent.this is below

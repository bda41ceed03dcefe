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


def is_of_row(part: exp.Expr) -> bool:
    """Whether a part of a grouped SELECT is computed for each row, as an aggregate's arguments are, rather than for each group."""
    below, around = part, part.parent
    while around is not None and not isinstance(around, exp.Query):
        if _reads_rows(around, below):
            return True
        below, around = around, around.parent
    return False


def _reads_rows(around: exp.Expr, part: exp.Expr) -> bool:
    """Whether a part of an aggregate, with what is behind it, is computed for each row: the fraction of a percentile is not."""
    if isinstance(around, exp.Filter | exp.WithinGroup):
        return around.expression is part and not _in_window(around)
    return isinstance(around, exp.AggFunc) and not isinstance(around.parent, exp.WithinGroup) and not _in_window(around)


def _in_window(part: exp.Expr) -> bool:
    below = part
    while isinstance(below.parent, exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
        below = below.parent
    return isinstance(below.parent, exp.Window) and below.parent.this is below

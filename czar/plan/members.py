"""``NOT IN (SELECT ...)`` in a chunk query -> ``NOT EXISTS``, which PostgreSQL joins.

It looks through all rows of the subquery for each row outside where they are too many for its memory, and through those with a NULL
in any case: NOT IN of such a row is never true.
"""

from collections.abc import Mapping

from sqlglot import exp

from czar.analyse.nesting import body, conjuncts, optional, own, relations, selects
from czar.analyse.query import Source

CLAUSES = frozenset({"expressions", "from_", "joins", "where", "kind", "hint"})
"""Those of a SELECT that shows each row of its FROM."""


def excluded_by_joins(tree: exp.Expr, tables: Mapping[str, Source]) -> None:
    """Write conditions ``NOT a IN (SELECT b ...)`` of WHERE with EXISTS, in place, where some column on both sides is never NULL.

    ``(a, c) NOT IN (SELECT b, d ...)`` is true if no row has ``b = a`` and ``d = c``, or a NULL in place of the latter.
    """
    for select in selects(tree):
        where = select.args.get("where")
        for condition in conjuncts(where.this if where else None):
            member = condition.this.unnest() if isinstance(condition, exp.Not) else None
            inner = body(member.args["query"]) if isinstance(member, exp.In) and member.args.get("query") else None
            if member is not None and isinstance(inner, exp.Select) and _shows_each_row(inner):
                met = _met(select, member.this, inner, tables)
                if met is not None:
                    inner.set("expressions", [exp.Literal.number(1)])
                    inner.where(*met, copy=False)
                    member.replace(exp.Exists(this=inner))


def _shows_each_row(inner: exp.Select) -> bool:
    return not any(value for clause, value in inner.args.items() if clause not in CLAUSES) and not own(
        inner, exp.AggFunc, exp.Window
    )


def _met(select: exp.Select, member: exp.Expr, inner: exp.Select, tables: Mapping[str, Source]) -> list[exp.Expr] | None:
    """Return what a row inside must meet to exclude one outside; None where none of its columns is known to be never NULL."""
    values = member.expressions if isinstance(member, exp.Tuple) else [member]
    found: list[exp.Expr] = []
    is_joined = False
    for value, item in zip(values, [each.unalias() for each in inner.expressions], strict=True):
        equal = exp.EQ(this=_operand(item), expression=_operand(value))
        if _is_never_null(value, select, tables) and _is_never_null(item, inner, tables):
            is_joined = True
            found.append(equal)
        else:
            found.append(exp.Not(this=exp.Paren(this=exp.Is(this=exp.Paren(this=equal), expression=exp.false()))))
    return found if is_joined else None


def _operand(value: exp.Expr) -> exp.Expr:
    return value.copy() if isinstance(value, exp.Column) else exp.Paren(this=value.copy())


def _is_never_null(value: exp.Expr, select: exp.Select, tables: Mapping[str, Source]) -> bool:
    """Whether a value is a column without NULL of a table of a FROM, and no outer join makes it NULL."""
    if not isinstance(value, exp.Column) or value.table not in tables or value.table in optional(select):
        return False
    is_own = any(isinstance(node, exp.Table) and node.alias == value.table for node in relations(select))
    return is_own and tables[value.table].entry.is_never_null(value.name)

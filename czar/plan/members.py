"""``NOT IN (SELECT ...)`` -> ``NOT EXISTS``, which PostgreSQL joins.

It looks through all rows of the subquery for each row outside where they are too many for its memory, and, where rows of several
columns are compared, through those with a NULL and for those with a NULL in any case.
"""

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from czar.analyse.locality import makes_random_numbers
from czar.analyse.nesting import body, conjuncts, optional, own, relations, selects
from czar.analyse.query import Source

CLAUSES = frozenset({"expressions", "from_", "joins", "where", "kind", "hint"})
"""Those of a SELECT that shows each row of its FROM."""

PAIR: Final = 2


def excluded_by_joins(tree: exp.Expr, tables: Mapping[str, Source]) -> None:
    """Write conditions ``NOT a IN (SELECT b ...)`` of WHERE with EXISTS, in place.

    That is done where some column on both sides is never NULL: ``(a, c) NOT IN (SELECT b, d ...)`` is true if no row has ``b = a``
    and ``d = c``, or a NULL in place of the latter. And for pairs; see `_apart`.
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
                elif _is_pair(member.this) and not makes_random_numbers(member):
                    condition.replace(_apart(member.this, inner))


def _is_pair(value: exp.Expr) -> bool:
    return isinstance(value, exp.Tuple) and len(value.expressions) == PAIR


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
            found.append(_may_be(equal))
    return found if is_joined else None


def _apart(pair: exp.Expr, inner: exp.Select) -> exp.Expr:
    """Return whether a pair is different from those of a subquery for sure: that is, ``NOT IN`` is true.

    It is if none of them has the same first value and maybe the second one: the same, or NULL, or any where the second value is
    NULL itself; if the second value is apart from those whose first one is NULL; and, where the first is NULL itself, from all.
    Each of these PostgreSQL hashes, and by all of the pair where it can: many may have one first value.
    """
    first, second = pair.expressions
    one, other = (item.unalias() for item in inner.expressions)
    same_first, same_second = (
        exp.EQ(this=_operand(mine), expression=_operand(value)) for mine, value in ((one, first), (other, second))
    )
    firsts = _values(inner, one).where(_is_known(one), copy=False)
    return exp.Paren(
        this=exp.and_(
            _is_not_there(inner, same_first, same_second),
            _is_not_there(inner, same_first.copy(), exp.Is(this=_operand(other), expression=exp.null())),
            exp.Paren(this=exp.or_(_is_known(second), _is_not_in(first, firsts), copy=False)),
            _is_not_in(second, _values(inner, other).where(exp.Is(this=_operand(one), expression=exp.null()), copy=False)),
            exp.Paren(this=exp.or_(_is_known(first), _is_not_in(second, _values(inner, other)), copy=False)),
            copy=False,
        )
    )


def _is_not_there(inner: exp.Select, *conditions: exp.Expr) -> exp.Expr:
    """Return whether a subquery has no row that meets conditions."""
    rows = inner.copy().where(*conditions, copy=False)
    rows.set("expressions", [exp.Literal.number(1)])
    return exp.Not(this=exp.Exists(this=rows))


def _values(inner: exp.Select, item: exp.Expr) -> exp.Select:
    rows = inner.copy()
    rows.set("expressions", [exp.alias_(item.copy(), "value")])
    return rows


def _is_known(value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=_operand(value), expression=exp.null()))


def _is_not_in(value: exp.Expr, query: exp.Select) -> exp.Expr:
    return exp.Not(this=exp.In(this=_operand(value), query=query.subquery(copy=False)))


def _may_be(condition: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Paren(this=exp.Is(this=exp.Paren(this=condition), expression=exp.false())))


def _operand(value: exp.Expr) -> exp.Expr:
    return value.copy() if isinstance(value, exp.Column) else exp.Paren(this=value.copy())


def _is_never_null(value: exp.Expr, select: exp.Select, tables: Mapping[str, Source]) -> bool:
    """Whether a value is a column without NULL of a table of a FROM, and no outer join makes it NULL."""
    if not isinstance(value, exp.Column) or value.table not in tables or value.table in optional(select):
        return False
    is_own = any(isinstance(node, exp.Table) and node.alias == value.table for node in relations(select))
    return is_own and tables[value.table].entry.is_never_null(value.name)

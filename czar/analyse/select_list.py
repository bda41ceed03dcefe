"""The items of SELECT: ``*`` spelled out, names of output columns, names and positions in GROUP BY and ORDER BY."""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from czar.analyse.query import Output
from czar.analyse.scope import Scope, same_name
from qserv.errors import QueryError, UnknownNameError
from schema.physical import IDENTIFIER_BYTES

Resolve = Callable[[exp.Expr], exp.Expr]


def spelled_out(item: exp.Expr, scope: Scope) -> list[tuple[exp.Expr, Output]] | None:
    """Return the qualified columns that ``*`` or ``alias.*`` stands for, and what they show; None for any other item of SELECT."""
    if isinstance(item, exp.Star):
        if not scope.relations:
            msg = "* stands for the columns of FROM, and there is no FROM"
            raise QueryError(msg)
        return scope.star()
    if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
        wanted = {relation.alias for relation in scope.of_star(item)}
        relations = [relation for relation in scope.relations if relation.alias in wanted]
        return [(relation.qualified(output.name), output) for relation in relations for output in relation.outputs]
    return None


def output_of(item: exp.Expr, expression: exp.Expr, scope: Scope, position: int) -> Output:
    """Return the output column of an item: its alias, or the name that PostgreSQL or ADQL would give it."""
    if isinstance(expression, exp.Column):
        shows = scope.shows(expression)
        return replace(shows, name=item.alias) if item.alias and item.alias != shows.name else shows
    if item.alias:
        return Output(item.alias)
    function = expression.expression if isinstance(expression, exp.Dot) else expression
    while isinstance(function, exp.Window | exp.Filter | exp.WithinGroup):
        function = function.this
    if isinstance(function, exp.Anonymous):
        return Output(function.name.lower())
    if isinstance(function, exp.Func) and not isinstance(function, exp.Connector | exp.Case | exp.Cast):
        return Output(function.sql_name().lower())
    return Output(f"column_{position}")


def distinct_names(outputs: list[Output]) -> list[Output]:
    """Give a second output column of the same name a number, because clients look columns up by name.

    It stays within what PostgreSQL keeps of a name: subqueries have these names there.
    """
    if len({output.name.lower() for output in outputs}) == len(outputs):
        return outputs
    taken: set[str] = set()
    named = []
    for output in outputs:
        name, count = output.name, 1
        while name.lower() in taken:
            count += 1
            suffix = f"_{count}"
            name = output.name.encode()[: IDENTIFIER_BYTES - len(suffix)].decode(errors="ignore") + suffix
        taken.add(name.lower())
        named.append(output if name == output.name else replace(output, name=name))
    return named


def grouped(node: exp.Expr, items: list[exp.Expr], outputs: list[Output], resolve: Resolve) -> exp.Expr:
    """Return a term of GROUP BY. A name means a column of FROM first, then an output column (as in PostgreSQL)."""
    node = _without_parentheses(node)
    by_position = _by_position(node, items, "GROUP BY")
    if by_position is not None:
        return by_position
    try:
        return resolve(node)
    except UnknownNameError:
        by_alias = _by_alias(node, items, outputs)
        if by_alias is None:
            raise
        return by_alias


def ordered(node: exp.Expr, items: list[exp.Expr], outputs: list[Output], resolve: Resolve) -> exp.Expr:
    """Return a term of ORDER BY. A name means an output column first, then a column of FROM (as in PostgreSQL)."""
    node = _without_parentheses(node)
    found = _by_position(node, items, "ORDER BY")
    if found is None:
        found = _by_alias(node, items, outputs)
    return resolve(node) if found is None else found


def _without_parentheses(node: exp.Expr) -> exp.Expr:
    """Take parentheses off a term, but not those of a subquery: it is a query of its own without them."""
    return node if isinstance(node, exp.Subquery) else node.unnest()


def _by_position(node: exp.Expr, items: list[exp.Expr], clause: str) -> exp.Expr | None:
    if not (isinstance(node, exp.Literal) and not node.is_string):
        return None
    text = str(node.this)
    if not text.isdigit() or not 1 <= int(text) <= len(items):
        msg = f"{clause} {text}: positions run from 1 to {len(items)}, the number of output columns"
        raise QueryError(msg)
    return items[int(text) - 1].copy()


def _by_alias(node: exp.Expr, items: list[exp.Expr], outputs: list[Output]) -> exp.Expr | None:
    if not isinstance(node, exp.Column) or node.table:
        return None
    quoted = bool(node.this.args.get("quoted"))
    found = [item for item, output in zip(items, outputs, strict=True) if same_name(output.name, node.name, quoted=quoted)]
    return found[0].copy() if found else None

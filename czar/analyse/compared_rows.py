"""Rule: what is greater than some or all values of a subquery is so of the least or the greatest, and of NULL if it is among them.

``x > ANY (S)`` is ``x > ANY (SELECT MIN(q.c) FROM (S) AS q GROUP BY q.c IS NULL)``, of at most two rows: where S has values, their
least; where it has NULL, that. PostgreSQL compares each row outside with all rows of a subquery until one decides.
"""

from typing import Final

from sqlglot import exp

from czar.analyse.inner_conditions import datatype_of
from czar.analyse.nesting import body, free_aliases, output_names, parts, unused_aliases
from czar.analyse.query import Query
from czar.analyse.scope import qualified
from schema.model import ColumnType

WITHOUT_EXTREMES: Final = frozenset({None, ColumnType.BOOLEAN, ColumnType.BINARY})
"""Types, and what has none that is known, of which no least value is computed."""

ABOVE: Final = (exp.GT, exp.GTE)
BELOW: Final = (exp.LT, exp.LTE)


def extremes(query: Query) -> Query:
    """Let subqueries that are compared by order give the value that decides, where they need nothing from outside.

    One table alone is compared with no other rows.
    """
    if len(query.sources) <= 1:
        return query
    found = [part for part in parts(query.tree) if isinstance(part, ABOVE + BELOW) and isinstance(part.right, exp.Any | exp.All)]
    aliases = unused_aliases(query.tree, "values")
    names: dict[exp.Expr, str] = {}
    for comparison in found:
        rows = body(comparison.right.this)
        if not isinstance(rows, exp.Select | exp.SetOperation) or free_aliases(rows) or len(output_names(rows)) != 1:
            continue
        if datatype_of(query, rows, 0) in WITHOUT_EXTREMES:
            continue
        # Two that are written alike may be one value, of which GROUP BY speaks: see `shared_subqueries`.
        alias = names.setdefault(rows.copy(), next(aliases))
        is_least = isinstance(comparison, ABOVE) == isinstance(comparison.right, exp.Any)
        _give_extreme(rows, alias, exp.Min if is_least else exp.Max)
    return query


def _give_extreme(rows: exp.Expr, alias: str, aggregate: type[exp.Min | exp.Max]) -> None:
    """Put a query for an extreme of the only column of another one, and for NULL where that has it, in its place."""
    (name,) = output_names(rows)
    column = qualified(alias, name)
    item = exp.Alias(this=aggregate(this=column), alias=exp.to_identifier(name, quoted=True))
    group = exp.Group(expressions=[exp.Is(this=column.copy(), expression=exp.Null())])
    extreme = exp.Select(expressions=[item], group=group)
    rows.replace(extreme)
    extreme.set("from_", exp.From(this=exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))))

"""Rule: where the primary key of a table is grouped, its other columns may be used as if they were (SQL:1999, feature T301).

They are added to GROUP BY, because chunk tables and the rows of steps have no primary key that PostgreSQL could conclude it from.
"""

from sqlglot import exp

from czar.analyse.grouping import is_of_row
from czar.analyse.nesting import own
from czar.analyse.query import Query


def dependent_columns(query: Query) -> Query:
    """Add the columns that depend on grouped keys to GROUP BY, in every SELECT."""
    for block in query.blocks:
        group = block.select.args.get("group")
        if group is None:
            continue
        keys = list(group.expressions)
        for source in block.sources:
            primary = set(source.entry.table.primary_key)
            grouped = {key.name for key in keys if isinstance(key, exp.Column) and key.table == source.alias}
            if primary and primary <= grouped:
                for column in _used(block.select, source.alias):
                    if column not in keys:
                        keys.append(column.copy())
        group.set("expressions", keys)
    return query


def _used(select: exp.Select, alias: str) -> list[exp.Column]:
    """Return the columns of a table that items, HAVING and ORDER BY use for a group, in subqueries as well."""
    found: list[exp.Expr] = []
    for clause in ("expressions", "having", "order"):
        part = select.args.get(clause)
        for node in part if isinstance(part, list) else [part] if part else []:
            used = [each for each in own(node, exp.Column, exp.Query) if not is_of_row(each)]
            found += [column for each in used for column in each.find_all(exp.Column)]
    return [column for column in found if isinstance(column, exp.Column) and column.table == alias]

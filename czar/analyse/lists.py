"""What is known of a column before the chunks are asked: that of a short list of rows that is part of the query.

A list is VALUES in FROM, or the rows of a step. A replicated table can be made one (`sought`), by reading it first.
"""

from collections.abc import Sequence

from sqlglot import exp

from czar.analyse.constants import Number, number
from czar.analyse.grouping import is_grouped
from czar.analyse.nesting import body, conjuncts, expression_queries, free_aliases, relations
from czar.analyse.query import Block, Query, Source
from czar.analyse.scope import qualified
from czar.analyse.separations import near_of
from schema.model import ColumnType, TableRole

LIST_BYTES = 65_536
"""Largest list that is read first: 8,000 keys. It is sent to each chunk that is left."""

NUMBER_BYTES, TEXT_BYTES = 8, 64

NUMBERS = frozenset({ColumnType.SHORT, ColumnType.INT, ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE, ColumnType.BOOLEAN})


def listed(query: Query, select: exp.Select, *columns: exp.Expr) -> list[tuple[Number | None, ...]] | None:
    """Return the values that columns of one relation of FROM may have in its rows, NULL as None; None if they are not known.

    Only numbers are.
    """
    found = _origin(select, columns)
    if found is None:
        return None
    node, names, _ = found
    if isinstance(node, exp.Table):
        source = query.tables.get(node.alias)
        return source.entry.numbers(names) if source else None
    if not isinstance(node, exp.Values):
        return None
    given = [column.name for column in node.args["alias"].args["columns"]]
    rows = [[row.expressions[given.index(name)] for name in names] for row in node.expressions]
    if any(number(value) is None and not isinstance(value, exp.Null) for row in rows for value in row):
        return None
    return [tuple(map(number, row)) for row in rows]


def met(block: Block) -> list[tuple[exp.Expr, exp.Select]]:
    """Return the conditions that every row meets, some with a row of EXISTS, and the SELECT that each stands in."""
    found = []
    for condition in block.restrictions():
        found.append((condition, block.select))
        inner = body(condition.this) if isinstance(condition, exp.Exists) else None
        where = inner.args.get("where") if isinstance(inner, exp.Select) else None
        if isinstance(inner, exp.Select) and where and not is_grouped(inner):
            found += [(part, inner) for part in conjuncts(where.this)]
    return found


def sought(query: Query) -> exp.Expr | None:
    """Return a replicated table, or a subquery of IN over one, whose rows would say which chunks of a director are asked."""
    for block in query.blocks:
        if not block.necessary:
            continue
        for home in block.homes:
            if home.entry.table.role not in {TableRole.DIRECTOR, TableRole.DEPENDENT} or home.outer:
                continue
            for condition, select in met(block):
                found = _partner(query, select, home, condition) or _members(query, home, condition)
                if found is not None:
                    return found
    return None


def _origin(select: exp.Select, columns: Sequence[exp.Expr]) -> tuple[exp.Expr, list[str], exp.Select] | None:
    """Return the table or VALUES that columns of one relation come from, their names there, and the SELECT that it is in."""
    aliases = {column.table for column in columns if isinstance(column, exp.Column)}
    if len(aliases) != 1 or not all(isinstance(column, exp.Column) for column in columns):
        return None
    node = next((node for node in relations(select) if node.alias_or_name in aliases), None)
    if isinstance(node, exp.Table | exp.Values):
        return node, [column.name for column in columns], select
    inner = body(node) if isinstance(node, exp.Subquery) else None
    if not isinstance(inner, exp.Select):
        return None
    shown = {item.alias: item.unalias() for item in inner.expressions}
    return _origin(inner, [shown[column.name] for column in columns]) if all(each.name in shown for each in columns) else None


def _partner(query: Query, select: exp.Select, home: Source, condition: exp.Expr) -> exp.Expr | None:
    """Return the short table of FROM that a condition joins by the key of a home table, or by its position."""
    columns: Sequence[exp.Expr] = ()
    if isinstance(condition, exp.EQ):
        pairs = ((condition.left, condition.right), (condition.right, condition.left))
        columns = [other for key, other in pairs if _is_key(key, home)]
    elif (near := near_of(condition)) is not None:
        position = (home.alias, home.entry.table.ra, home.entry.table.dec)
        for one, other in ((near.left, near.right), (near.right, near.left)):
            if one == position:
                columns = [qualified(other[0], name) for name in other[1:]]
    found = _origin(select, columns)
    if found is None or not isinstance(found[0], exp.Table) or not _is_short(query, found[0], found[2]):
        return None
    return found[0]


def _members(query: Query, home: Source, condition: exp.Expr) -> exp.Expr | None:
    """Return the query that the key of a home table is IN, if that gives few rows of one table."""
    if not isinstance(condition, exp.In) or not _is_key(condition.this, home) or not condition.args.get("query"):
        return None
    inner = body(condition.args["query"])
    if not isinstance(inner, exp.Select) or free_aliases(inner) or expression_queries(inner) or is_grouped(inner):
        return None
    from_ = relations(inner)
    if len(from_) != 1 or not isinstance(from_[0], exp.Table) or not _is_short(query, from_[0], inner):
        return None
    return inner


def _is_key(node: exp.Expr, home: Source) -> bool:
    return isinstance(node, exp.Column) and node.table == home.alias and node.name == home.entry.table.director_key


def _is_short(query: Query, table: exp.Table, select: exp.Select) -> bool:
    """Whether a table is replicated, and what a SELECT needs of it is little."""
    source = query.tables.get(table.alias)
    if source is None or not source.entry.database or source.entry.table.partitioned or source.outer:
        return False
    needed = {column.name for column in select.find_all(exp.Column) if column.table == source.alias}
    kinds = [column.datatype for column in source.entry.table.columns if column.name in needed]
    if ColumnType.BINARY in kinds:
        return False
    return source.entry.row_count * sum(NUMBER_BYTES if kind in NUMBERS else TEXT_BYTES for kind in kinds) <= LIST_BYTES

"""How many rows and bytes a chunk query sends, before it has run: what its shape says, as if every condition held for every row."""

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from czar.plan.model import Plan
from schema.model import Column, ColumnType, Table

WIDTH_BYTES: Final[dict[ColumnType, int]] = {
    ColumnType.BOOLEAN: 1,
    ColumnType.SHORT: 2,
    ColumnType.INT: 4,
    ColumnType.FLOAT: 4,
}
"""In Arrow's memory; 8 for all other numbers and times, and for what is computed."""

TEXT_BYTES: Final = 20
"""Of a text without a declared length: a name or an identifier, and where it begins."""

ROW_BYTES: Final = 36
"""PostgreSQL's header of a row, its place in the page, and `_healpix_29`."""

TEXTS: Final = frozenset({ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.TEXT, ColumnType.BINARY})


@dataclass(frozen=True)
class Estimate:
    """Rows, and their bytes in Arrow's memory."""

    rows: int
    size_bytes: int


def sent(plan: Plan, tree: exp.Expr) -> Estimate:
    """Estimate what the nodes send for a plan whose chunk query is ``tree``."""
    chunks = len(plan.tasks)
    rows = plan.rows
    if isinstance(tree, exp.Select):
        if _is_one_row(tree):
            rows = chunks
        limit = tree.args.get("limit")
        if limit is not None and isinstance(limit.expression, exp.Literal) and limit.expression.is_int:
            rows = min(rows, int(limit.expression.this) * chunks)
    if plan.combine is None and plan.limit is not None:
        rows = min(rows, plan.offset + plan.limit)
    columns = {column.name: column for slot in (plan.step.slots if plan.step else ()) for column in slot.entry.table.columns}
    return Estimate(
        rows, rows * sum(_width(item.unalias(), columns) for item in tree.selects) if isinstance(tree, exp.Query) else 0
    )


def _is_one_row(select: exp.Select) -> bool:
    """Whether aggregates without GROUP BY make one row of all."""
    own = (node for item in select.selects for node in item.find_all(exp.AggFunc))
    return not select.args.get("group") and any(node.find_ancestor(exp.Window, exp.Query) is select for node in own)


def _width(item: exp.Expr, columns: dict[str, Column]) -> int:
    column = columns.get(item.name) if isinstance(item, exp.Column) else None
    return 8 if column is None else _column_bytes(column)


def row_bytes(table: Table) -> int:
    """Return the bytes of a row on disk."""
    return ROW_BYTES + sum(map(_column_bytes, table.columns))


def _column_bytes(column: Column) -> int:
    if column.datatype in TEXTS:
        return column.length + 4 if column.length else TEXT_BYTES
    return WIDTH_BYTES.get(column.datatype, 8)

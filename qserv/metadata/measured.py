"""What is known of the rows of a table: ranges of its columns over all chunks, and the rows of each chunk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Double, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from qserv.ids import ChunkId, NodeId
from qserv.metadata.tables import chunks, column_statistics, replicas

KINDS: Mapping[str, TypeEngine[Any]] = {
    **dict.fromkeys(("short", "int", "long"), BigInteger()),
    **dict.fromkeys(("float", "double"), Double()),
    "timestamp": DateTime(),
}
"""As what values are compared, by the Felis type of their column; others as texts, by their bytes."""


@dataclass(frozen=True)
class ColumnRange:
    """A column over all chunks. ``minimum`` and ``maximum`` are as PostgreSQL writes them; None where no chunk has a value."""

    minimum: str | None
    maximum: str | None
    null_count: int
    has_nan: bool
    has_infinity: bool


@dataclass(frozen=True)
class ChunkRows:
    """Rows of a table in a chunk, those of its overlap, and the nodes that hold both."""

    chunk: ChunkId
    row_count: int
    overlap_row_count: int
    nodes: tuple[NodeId, ...]


async def column_ranges(connection: AsyncConnection, table_id: int, datatypes: Mapping[str, str]) -> dict[str, ColumnRange]:
    """Return the ranges of columns, by their names.

    Parameters
    ----------
    datatypes
        Felis types of the columns.
    """
    found: dict[str, ColumnRange] = {}
    for kind in {*KINDS.values(), None}:
        names = [name for name, datatype in datatypes.items() if KINDS.get(datatype) is kind]
        found |= await _ranges(connection, table_id, names, kind)
    return found


async def integer_ranges(connection: AsyncConnection, table_id: int, column: str) -> dict[ChunkId, tuple[int, int]]:
    """Return the range of a column of integers in each chunk where it has values."""
    columns = column_statistics.c
    wanted = select(columns.chunk, cast(columns.minimum, BigInteger), cast(columns.maximum, BigInteger)).where(
        columns.table_id == table_id, columns.column_name == column, columns.minimum.is_not(None)
    )
    return {ChunkId(chunk): (low, high) for chunk, low, high in await connection.execute(wanted)}


async def _ranges(
    connection: AsyncConnection, table_id: int, names: Sequence[str], kind: TypeEngine[Any] | None
) -> dict[str, ColumnRange]:
    """Return the ranges of columns whose values are compared in the same way."""
    column = column_statistics.c
    low, high = (each.collate("C") if kind is None else cast(each, kind) for each in (column.minimum, column.maximum))
    measured = select(
        column.column_name,
        cast(func.min(low), Text),
        cast(func.max(high), Text),
        cast(func.sum(column.null_count), BigInteger),
        func.bool_or(column.has_nan),
        func.bool_or(column.has_infinity),
    ).where(column.table_id == table_id, column.column_name == func.any(cast(list(names), ARRAY(Text))))
    rows = await connection.execute(measured.group_by(column.column_name))
    return {name: ColumnRange(*facts) for name, *facts in rows}


async def column_nulls(connection: AsyncConnection, table_id: int, column: str) -> int | None:
    """Return how many rows of a table have NULL in a column; None if that is not known of all its chunks."""
    own = (column_statistics.c.table_id == table_id, column_statistics.c.column_name == column)
    with_rows = select(chunks.c.chunk).where(chunks.c.table_id == table_id, chunks.c.row_count > 0)
    known = select(column_statistics.c.chunk).where(*own)
    if (await connection.execute(with_rows.where(chunks.c.chunk.not_in(known)).limit(1))).first() is not None:
        return None
    return int(
        (await connection.execute(select(func.coalesce(func.sum(column_statistics.c.null_count), 0)).where(*own))).scalar_one()
    )


async def chunk_rows(connection: AsyncConnection, table_id: int, after: int | None, limit: int) -> list[ChunkRows]:
    """Return chunks in which a table has rows, in their order.

    Parameters
    ----------
    after
        The chunk behind which to begin.
    """
    nodes = select(func.array_agg(replicas.c.node_id).label("nodes")).where(
        replicas.c.table_id == chunks.c.table_id, replicas.c.chunk == chunks.c.chunk
    )
    listed = select(chunks.c.chunk, chunks.c.row_count, chunks.c.overlap_row_count, nodes.scalar_subquery())
    listed = listed.where(chunks.c.table_id == table_id).order_by(chunks.c.chunk).limit(limit)
    if after is not None:
        listed = listed.where(chunks.c.chunk > after)
    rows = await connection.execute(listed)
    return [ChunkRows(ChunkId(chunk), rows, near, tuple(sorted(held or ()))) for chunk, rows, near, held in rows]

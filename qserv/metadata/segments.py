"""Segments: rows that were appended to chunks of published tables, and what becomes of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, cast, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.ids import ChunkId
from qserv.metadata.catalogue import Json
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from qserv.metadata.tables import chunks, column_statistics, segment_builds

Order = Callable[[str], Any]
"""A value as PostgreSQL writes it -> what it is ordered by."""

ORDERS: Mapping[str, Order] = {
    **dict.fromkeys(("short", "int", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    "timestamp": datetime.fromisoformat,
}
"""By the Felis type of a column; others are ordered as texts, by code point."""


class BuildKind(StrEnum):
    """What a segment is made of."""

    APPEND = "append"
    """Rows that were sent."""
    MERGE = "merge"
    """Segments."""


@dataclass(frozen=True)
class Build:
    """A segment of a table that nodes may have, and that does not count."""

    segment: int
    database: str
    table_name: str


async def begin_build(connection: AsyncConnection, family: str, database: str, table: str, kind: BuildKind) -> int:
    """Return the number of a new segment, which counts once `end_build` is committed with what names it."""
    new = insert(segment_builds).values(family=family, database=database, table_name=table, kind=kind)
    return int((await connection.execute(new.returning(segment_builds.c.segment))).scalar_one())


async def end_build(connection: AsyncConnection, segment: int) -> None:
    """Forget that a segment does not count: it counts now, or no node has it any more."""
    await connection.execute(delete(segment_builds).where(segment_builds.c.segment == segment))


async def builds(connection: AsyncConnection, family: str, kind: BuildKind) -> list[Build]:
    """Return the segments of a family that do not count."""
    columns = [segment_builds.c[name] for name in Build.__dataclass_fields__]
    found = select(*columns).where(segment_builds.c.family == family, segment_builds.c.kind == kind)
    return [Build(**row) for row in (await connection.execute(found.order_by(segment_builds.c.segment))).mappings()]


async def building(connection: AsyncConnection, kind: BuildKind) -> list[str]:
    """Return the families that have segments which do not count."""
    found = select(segment_builds.c.family).where(segment_builds.c.kind == kind).distinct()
    return sorted((await connection.execute(found)).scalars())


@dataclass(frozen=True)
class Appended:
    """Rows that were appended to a table: a segment of some chunks.

    Attributes
    ----------
    datatypes
        Felis types of the columns.
    """

    table_id: int
    segment: int
    chunks: Sequence[ChunkRecord]
    statistics: Sequence[StatisticsRecord]
    datatypes: Mapping[str, str]


async def append(connection: AsyncConnection, added: Appended, transaction_id: int | None) -> None:
    """Let rows count that were appended to a table, within the caller's transaction, which raises the catalogue's version.

    Parameters
    ----------
    transaction_id
        Of which they are; None: of several, which is written down already.
    """
    placed: Json = {"id": added.table_id, "chunks": [one.chunk for one in added.chunks]}
    await connection.execute(KEEP_FIRST, placed)
    ranges = await _widened(connection, added)
    counts = {
        "rows": [one.row_count for one in added.chunks],
        "near": [one.overlap_row_count for one in added.chunks],
        "friends": [one.friends_deg for one in added.chunks],
        "segment": added.segment,
        "transaction": transaction_id,
    }
    for statement in (_COUNT, _ADD) if transaction_id is None else (_COUNT, _ADD, _NOTE):
        await connection.execute(statement, placed | counts)
    await connection.execute(RANGES, {"id": added.table_id, **ranges})
    held = [(one.chunk, node) for one in added.chunks for node in one.nodes]
    await connection.execute(
        _HOLD, {"id": added.table_id, "chunks": [chunk for chunk, _ in held], "nodes": [node for _, node in held]}
    )
    await end_build(connection, added.segment)


KEEP_FIRST = text("""
    INSERT INTO segments (table_id, chunk, segment, row_count, overlap_row_count)
    SELECT table_id, chunk, 0, row_count, overlap_row_count FROM chunks
    WHERE table_id = CAST(:id AS integer) AND chunk = ANY(CAST(:chunks AS bigint[]))
        AND NOT EXISTS (SELECT FROM segments WHERE segments.table_id = chunks.table_id AND segments.chunk = chunks.chunk)""")
"""Names what a load made, of chunks that are to have more."""
# Chunks in their order: two transactions that lock them the other way round would wait for each other.
_COUNT = text("""
    INSERT INTO chunks AS known (table_id, chunk, row_count, overlap_row_count, friends_deg)
    SELECT CAST(:id AS integer), * FROM unnest(
        CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[]), CAST(:friends AS double precision[]))
    ORDER BY 2
    ON CONFLICT (table_id, chunk) DO UPDATE SET row_count = known.row_count + excluded.row_count,
        overlap_row_count = known.overlap_row_count + excluded.overlap_row_count, friends_deg = NULL""")
_ADD = text("""
    INSERT INTO segments (table_id, chunk, row_count, overlap_row_count, segment, transaction_id)
    SELECT CAST(:id AS integer), added.*, CAST(:segment AS bigint), CAST(:transaction AS bigint)
    FROM unnest(CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[])) AS added""")
_NOTE = text("""
    INSERT INTO appended_chunks (transaction_id, table_id, chunk, row_count, overlap_row_count)
    SELECT CAST(:transaction AS bigint), CAST(:id AS integer), *
    FROM unnest(CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[]))""")
_HOLD = text("""
    INSERT INTO replicas (table_id, chunk, node_id)
    SELECT CAST(:id AS integer), * FROM unnest(CAST(:chunks AS bigint[]), CAST(:nodes AS text[]))
    ON CONFLICT DO NOTHING""")


async def _widened(connection: AsyncConnection, added: Appended) -> dict[str, list[Any]]:
    """Return, by their fields, ranges of columns that hold the new rows as well; before these are counted."""
    listed = any_(cast([one.chunk for one in added.chunks], ARRAY(BigInteger)))
    of_chunks = (chunks.c.table_id == added.table_id, chunks.c.chunk == listed)
    before = {row.chunk: row.row_count for row in await connection.execute(select(chunks).where(*of_chunks))}
    of_ranges = (column_statistics.c.table_id == added.table_id, column_statistics.c.chunk == listed)
    known = {
        (row["chunk"], row["column_name"]): StatisticsRecord(**{field: row[name] for field, name in _FIELDS.items()})
        for row in (await connection.execute(select(column_statistics).where(*of_ranges))).mappings()
    }
    new_rows = {one.chunk: one.row_count for one in added.chunks}
    wide = []
    for range_ in added.statistics:
        rows, old = before.get(range_.chunk, 0), known.get((range_.chunk, range_.column))
        if rows and old is None:  # nothing is known of the column: that holds for more rows, too
            continue
        order = ORDERS.get(added.datatypes[range_.column], str)
        wide.append(range_ if not rows or old is None else wider(old, rows, range_, new_rows[range_.chunk], order))
    return range_values(wide)


_FIELDS = {
    "column" if name == "column_name" else name: name for name in map(str, column_statistics.columns.keys()) if name != "table_id"
}
"""Columns of the table of ranges, by the names that records have for them."""


def range_values(ranges: Sequence[StatisticsRecord]) -> dict[str, list[Any]]:
    """Return the values of `RANGES`."""
    return {f"{name}s": [getattr(one, field) for one in ranges] for field, name in _FIELDS.items()}


RANGES = text("""
    INSERT INTO column_statistics (table_id, chunk, column_name, minimum, maximum, null_count, has_nan, has_infinity)
    SELECT CAST(:id AS integer), * FROM unnest(CAST(:chunks AS bigint[]), CAST(:column_names AS text[]), CAST(:minimums AS text[]),
        CAST(:maximums AS text[]), CAST(:null_counts AS bigint[]), CAST(:has_nans AS boolean[]), CAST(:has_infinitys AS boolean[]))
    ON CONFLICT (table_id, chunk, column_name) DO UPDATE SET minimum = excluded.minimum, maximum = excluded.maximum,
        null_count = excluded.null_count, has_nan = excluded.has_nan, has_infinity = excluded.has_infinity""")
"""Writes ranges of columns in place of those that are there."""


def wider(old: StatisticsRecord, old_rows: int, new: StatisticsRecord, new_rows: int, order: Order) -> StatisticsRecord:
    """Return the range of a column over rows of before and new ones; an end is None where that of either is not known.

    Of rows that all have NULL or NaN nothing is to be known.
    """
    valued = [
        one for one, rows in ((old, old_rows), (new, new_rows)) if one.null_count < rows and not (one.has_nan and not one.minimum)
    ]
    low, high = [one.minimum for one in valued], [one.maximum for one in valued]
    is_known = bool(valued) and None not in {*low, *high}
    return StatisticsRecord(
        chunk=ChunkId(old.chunk),
        column=old.column,
        minimum=min(_known(low), key=order) if is_known else None,
        maximum=max(_known(high), key=order) if is_known else None,
        null_count=old.null_count + new.null_count,
        has_nan=old.has_nan or new.has_nan,
        has_infinity=old.has_infinity or new.has_infinity,
    )


def _known(ends: Iterable[str | None]) -> list[str]:
    return [end for end in ends if end is not None]

"""Chunks whose rows are written anew, without some: one segment then stands for all that the chunk had."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import MetadataError, NoSuchLoadError
from qserv.ids import ChunkId
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from qserv.metadata.segments import KEEP_FIRST, RANGES, range_values
from qserv.metadata.transactions import TransactionState


@dataclass(frozen=True)
class Rewritten:
    """A chunk of which one segment has all rows now.

    Attributes
    ----------
    before
        Numbers of the segments that it had.
    """

    record: ChunkRecord
    before: Sequence[int]
    statistics: Sequence[StatisticsRecord]


async def rewrite(connection: AsyncConnection, table_id: int, segment: int, chunks: Sequence[Rewritten]) -> None:
    """Let a segment stand for all that some chunks of a table had, within the caller's transaction.

    The caller raises the catalogue's version last, and then calls `qserv.metadata.merges.end_replaced` and `end_build`.

    Raises
    ------
    MetadataError
        Segments were merged meanwhile. It can be done again.
    """
    places = {"id": table_id, "chunks": [one.record.chunk for one in chunks]}
    await connection.execute(KEEP_FIRST, places)
    found = {(row.chunk, row.segment) for row in await connection.execute(_REPLACE, places)}
    if found != {(one.record.chunk, number) for one in chunks for number in one.before}:
        msg = "segments of the chunks were merged meanwhile; try again"
        raise MetadataError(msg)
    counts = {
        "rows": [one.record.row_count for one in chunks],
        "near": [one.record.overlap_row_count for one in chunks],
        "friends": [one.record.friends_deg for one in chunks],
        "segment": segment,
    }
    for statement in (_COUNT, _STAND, _FORGET):
        await connection.execute(statement, places | counts)
    ranges = [range_ for one in chunks for range_ in one.statistics]
    await connection.execute(RANGES, {"id": table_id, **range_values(ranges)})


_REPLACE = text("""
    UPDATE segments SET replaced = -1
    WHERE table_id = CAST(:id AS integer) AND chunk = ANY(CAST(:chunks AS bigint[])) AND replaced IS NULL
    RETURNING chunk, segment""")
_COUNT = text("""
    UPDATE chunks SET row_count = found.rows, overlap_row_count = found.near, friends_deg = found.friends
    FROM unnest(CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[]), CAST(:friends AS double precision[]))
        AS found (chunk, rows, near, friends)
    WHERE chunks.table_id = CAST(:id AS integer) AND chunks.chunk = found.chunk""")
_STAND = text("""
    INSERT INTO segments (table_id, chunk, row_count, overlap_row_count, segment)
    SELECT CAST(:id AS integer), added.*, CAST(:segment AS bigint)
    FROM unnest(CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[])) AS added""")
_FORGET = text("""
    DELETE FROM column_statistics WHERE table_id = CAST(:id AS integer) AND chunk = ANY(CAST(:chunks AS bigint[]))""")


@dataclass(frozen=True)
class AppendedChunk:
    """A chunk of a table in which a transaction has rows; how many."""

    table_id: int
    chunk: ChunkId
    row_count: int
    overlap_row_count: int


async def appended(connection: AsyncConnection, transaction_id: int) -> list[AppendedChunk]:
    """Return where the rows are that a transaction appended to tables that are there still."""
    found = await connection.execute(_APPENDED, {"transaction": transaction_id})
    return [AppendedChunk(row.table_id, ChunkId(row.chunk), row.row_count, row.overlap_row_count) for row in found]


@dataclass(frozen=True)
class Found:
    """A transaction: whether it has rows in tables beside those of others."""

    transaction_id: int
    state: TransactionState
    withdrawn: datetime | None
    appended: bool
    version: int | None
    """Of the catalogue, that shows its rows."""


class Shift(NamedTuple):
    """Rows, or copies of the overlap, of a contribution by which there are more now, or fewer, in a chunk."""

    contribution_id: int
    chunk: ChunkId
    overlap: bool
    rows: int


async def shift(connection: AsyncConnection, table_id: int, shifts: Sequence[Shift]) -> None:
    """Write down that rows of transactions that appended to a table are in other chunks now, within the caller's transaction."""
    values = {
        "id": table_id,
        "contributions": [each.contribution_id for each in shifts],
        "chunks": [each.chunk for each in shifts],
        "rows": [0 if each.overlap else each.rows for each in shifts],
        "near": [each.rows if each.overlap else 0 for each in shifts],
    }
    for statement in (_SHIFT, _EMPTIED):
        await connection.execute(statement, values)


async def find(connection: AsyncConnection, name: str) -> Found:
    """Return the transaction of a name.

    Raises
    ------
    NoSuchLoadError
        There is none.
    """
    row = (await connection.execute(_FIND, {"name": name})).one_or_none()
    if row is None:
        msg = f"there is no transaction {name}; `qserv loads` lists them"
        raise NoSuchLoadError(msg)
    return Found(row.transaction_id, TransactionState(row.state), row.withdrawn, row.appended, row.version)


async def appended_since(connection: AsyncConnection, table_id: int, version: int) -> bool:
    """Whether later versions of the catalogue show rows that transactions appended to a table."""
    found = await connection.execute(_APPENDED_SINCE, {"id": table_id, "version": version})
    return bool(found.scalar_one())


async def withdraw(connection: AsyncConnection, transaction_id: int) -> None:
    """Write down that the rows of a transaction are taken away, within the caller's transaction."""
    await connection.execute(_WITHDRAWN, {"transaction": transaction_id})


_FIND = text("""
    SELECT transaction_id, state, version, withdrawn AT TIME ZONE 'UTC' AS withdrawn,
        EXISTS (SELECT FROM appended_chunks WHERE appended_chunks.transaction_id = transactions.transaction_id) AS appended
    FROM transactions WHERE name = CAST(:name AS text)""")
_APPENDED = text("""
    SELECT table_id, chunk, row_count, overlap_row_count FROM appended_chunks
    WHERE transaction_id = CAST(:transaction AS bigint) ORDER BY table_id, chunk""")
_SHIFTED = """
    SELECT transaction_id, moved.chunk, sum(moved.rows)::bigint AS rows, sum(moved.near)::bigint AS near
    FROM unnest(CAST(:contributions AS bigint[]), CAST(:chunks AS bigint[]), CAST(:rows AS bigint[]), CAST(:near AS bigint[]))
        AS moved (contribution_id, chunk, rows, near)
    JOIN contributions USING (contribution_id)
    WHERE EXISTS (SELECT FROM appended_chunks WHERE appended_chunks.transaction_id = contributions.transaction_id)
    GROUP BY transaction_id, moved.chunk"""
_SHIFT = text(f"""
    INSERT INTO appended_chunks AS known (transaction_id, table_id, chunk, row_count, overlap_row_count)
    SELECT transaction_id, CAST(:id AS integer), chunk, rows, near FROM ({_SHIFTED}) AS shifted
    ON CONFLICT (transaction_id, table_id, chunk) DO UPDATE SET row_count = known.row_count + excluded.row_count,
        overlap_row_count = known.overlap_row_count + excluded.overlap_row_count""")  # noqa: S608 (a text of ours)
_EMPTIED = text("""
    DELETE FROM appended_chunks WHERE table_id = CAST(:id AS integer) AND row_count = 0 AND overlap_row_count = 0
        AND chunk = ANY(CAST(:chunks AS bigint[]))""")
_APPENDED_SINCE = text("""
    SELECT EXISTS (
        SELECT FROM appended_chunks JOIN transactions USING (transaction_id)
        WHERE table_id = CAST(:id AS integer) AND version > CAST(:version AS bigint))""")
_WITHDRAWN = text("""
    WITH gone AS (DELETE FROM appended_chunks WHERE transaction_id = CAST(:transaction AS bigint))
    UPDATE transactions SET withdrawn = clock_timestamp() WHERE transaction_id = CAST(:transaction AS bigint)""")

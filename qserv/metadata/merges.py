"""Segments that become one: which, what then stands for what, and what is not needed any more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, any_, cast, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata.tables import chunks, segments, transactions


@dataclass(frozen=True)
class Merge:
    """Segments of a chunk that are to become one; ``nodes`` hold the chunk."""

    table_id: int
    database: str
    table_name: str
    family: str
    chunk: ChunkId
    nodes: tuple[NodeId, ...]
    segments: tuple[Segment, ...]
    is_all: bool
    """Whether the chunk has no others."""


class Unused(NamedTuple):
    """A segment that is not needed any more in some chunks."""

    table_id: int
    database: str
    table_name: str
    segment: int
    chunks: list[int]


async def to_merge(
    connection: AsyncConnection, most: int, quiet_s: float, limit: int, without: Collection[int] = ()
) -> list[Merge]:
    """Return chunks of published tables some segments of which should be one: those that have the most first.

    Parameters
    ----------
    most
        More segments than this are too many: the small ones are merged.
    quiet_s
        Where nothing was appended for so long, all are merged.
    without
        Tables that are left alone, by their ids.
    """
    rows = await connection.execute(_TO_MERGE, {"most": most, "quiet_s": quiet_s, "limit": limit, "without": list(without)})
    found = []
    for row in rows:
        there = [Segment(*values) for values in zip(row.segments, row.row_counts, row.overlap_row_counts, strict=True)]
        some = there if row.is_quiet else small(there)
        found.append(
            Merge(
                row.table_id, row.database, row.name, row.family, row.chunk, tuple(row.nodes), tuple(some), len(some) == len(there)
            )
        )
    return found


def small(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments to merge: the smallest, and each larger one as long as it is not larger than all before together.

    So a row is written again as often as the number of rows doubles, not as often as rows are appended.
    """
    ordered = sorted(segments, key=lambda segment: (segment.row_count + segment.overlap_row_count, segment.number))
    taken, rows = ordered[:2], sum(segment.row_count + segment.overlap_row_count for segment in ordered[:2])
    for segment in ordered[2:]:
        if segment.row_count + segment.overlap_row_count > rows:
            break
        taken.append(segment)
        rows += segment.row_count + segment.overlap_row_count
    return taken


async def stand_for(connection: AsyncConnection, merge: Merge, number: int, friends_deg: float | None) -> bool:
    """Let one segment stand for several; return False if one of them is not there any more. `end_replaced` follows."""
    old = {"id": merge.table_id, "chunk": merge.chunk, "old": [segment.number for segment in merge.segments]}
    if (await connection.execute(_REPLACE, old)).rowcount != len(merge.segments):
        return False
    counts = {
        "rows": sum(segment.row_count for segment in merge.segments),
        "near": sum(each.overlap_row_count for each in merge.segments),
    }
    values = {"table_id": merge.table_id, "chunk": merge.chunk, "segment": number}
    new = insert(segments).values(**values, row_count=counts["rows"], overlap_row_count=counts["near"])
    await connection.execute(new)
    if merge.is_all:
        of_chunk = (chunks.c.table_id == merge.table_id, chunks.c.chunk == merge.chunk)
        alone = select(segments.c.segment).where(
            segments.c.table_id == merge.table_id, segments.c.chunk == merge.chunk, segments.c.replaced.is_(None)
        )
        if len((await connection.execute(alone)).all()) == 1:  # nothing was appended meanwhile
            await connection.execute(update(chunks).where(*of_chunk).values(friends_deg=friends_deg))
    return True


async def is_changing(connection: AsyncConnection, family: str) -> bool:
    """Whether tables of a family get indexes or columns now, or lose rows: a segment that is made meanwhile may lack that."""
    changes = transactions.c.kind.in_(("index", "column", "withdrawal"))
    open_ones = (transactions.c.family == family, changes, transactions.c.state == "open")
    return bool((await connection.execute(select(select(transactions.c.name).where(*open_ones).exists()))).scalar_one())


async def end_replaced(connection: AsyncConnection, version: int) -> None:
    """Write down from which version of the catalogue on others stand for what was replaced in this transaction.

    The version is raised last, as by who appends: two that lock the other way round would wait for each other.
    """
    await connection.execute(update(segments).where(segments.c.replaced < 0).values(replaced=version))


async def unused(connection: AsyncConnection) -> list[Unused]:
    """Return the segments, with their chunks, that others stand for, and that no query and no load reads any more."""
    return [Unused(*row) for row in await connection.execute(_UNUSED)]


async def forget(connection: AsyncConnection, gone: Unused) -> None:
    """Forget segments that no node has any more."""
    which = (
        segments.c.table_id == gone.table_id,
        segments.c.segment == gone.segment,
        segments.c.chunk == any_(cast(gone.chunks, ARRAY(BigInteger))),
    )
    await connection.execute(delete(segments).where(*which, segments.c.replaced.is_not(None)))


_TO_MERGE = text("""
    SELECT table_id, chunk, database, tables.name, databases.family, array_agg(segment ORDER BY segment) AS segments,
        array_agg(row_count ORDER BY segment) AS row_counts, array_agg(overlap_row_count ORDER BY segment) AS overlap_row_counts,
        max(counted) < now() - make_interval(secs => CAST(:quiet_s AS double precision)) AS is_quiet,
        ARRAY(
            SELECT node_id FROM replicas WHERE replicas.table_id = segments.table_id AND replicas.chunk = segments.chunk
            ORDER BY node_id) AS nodes
    FROM segments JOIN tables USING (table_id) JOIN databases USING (database)
    WHERE replaced IS NULL AND published AND table_id <> ALL(CAST(:without AS integer[]))
    GROUP BY table_id, chunk, database, tables.name, databases.family
    HAVING count(*) > CAST(:most AS bigint)
        OR (count(*) > 1 AND max(counted) < now() - make_interval(secs => CAST(:quiet_s AS double precision)))
    ORDER BY count(*) DESC, table_id, chunk LIMIT CAST(:limit AS bigint)""")
_REPLACE = text("""
    UPDATE segments SET replaced = -1
    WHERE table_id = CAST(:id AS integer) AND chunk = CAST(:chunk AS bigint) AND segment = ANY(CAST(:old AS bigint[]))
        AND replaced IS NULL""")
# What began before a segment was replaced may read it: queries, loads that measure, and withdrawals. What begins later does not.
_UNUSED = text("""
    SELECT table_id, database, tables.name, segment, array_agg(chunk ORDER BY chunk)
    FROM segments JOIN tables USING (table_id) JOIN databases USING (database)
    WHERE replaced <= coalesce((SELECT min(coalesce(oldest, 0)) FROM czars), replaced)
        AND NOT EXISTS (
            SELECT FROM transactions WHERE transactions.family = databases.family AND state = 'open'
                AND (kind IN ('load', 'withdrawal') OR coalesce(wish, 'cancel') <> 'cancel'))
    GROUP BY table_id, database, tables.name, segment ORDER BY table_id, segment""")

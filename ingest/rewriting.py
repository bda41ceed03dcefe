"""Chunks written anew: all rows of some segments, or all but some, become one segment, on each of the chunk's nodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ingest.nodes import Nodes, all_or_first_error
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from qserv.metadata.rewrites import Rewritten
from schema.model import Table
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.table_actions import BuiltChunk, MergeSegments

AT_A_TIME = 64
"""Chunks that are written together."""


@dataclass(frozen=True)
class Rewrite:
    """Segments of a chunk that are to be one; ``nodes`` hold the chunk.

    Attributes
    ----------
    rows, overlap_rows
        How many rows are to be left out: those that have, in some columns, integers that stand together in the lists of one of
        ``without``.
    fresh
        Segments of which no row is left out.
    background
        Whether nobody waits for it, so that all else goes before it.
    """

    database: str
    table: Table
    chunk: ChunkId
    nodes: tuple[NodeId, ...]
    segments: Sequence[Segment]
    rows: int = 0
    overlap_rows: int = 0
    without: Sequence[Mapping[str, list[int]]] = ()
    fresh: Sequence[int] = ()
    background: bool = False

    @property
    def numbers(self) -> list[int]:
        """Numbers of the segments."""
        return [segment.number for segment in self.segments]


@dataclass(frozen=True)
class WrittenAnew:
    """Chunks of a table that a segment is to stand for, which is on the nodes, and does not count; its number."""

    number: int
    chunks: Sequence[Rewritten]

    @property
    def segments(self) -> dict[ChunkId, Segment]:
        """What each of the chunks is then."""
        records = (each.record for each in self.chunks)
        return {one.chunk: Segment(self.number, one.row_count, one.overlap_row_count) for one in records}


async def written_anew(
    nodes: Nodes, wanted: Sequence[Rewrite], number: int, done: Callable[[int], None] = lambda _: None
) -> WrittenAnew:
    """Make a segment of chunks that are to be written anew.

    Parameters
    ----------
    done
        Is told how many are.

    Raises
    ------
    IngestError
        A chunk has not the rows that it should have.
    """
    made: list[Rewritten] = []
    for first in range(0, len(wanted), AT_A_TIME):
        some = wanted[first : first + AT_A_TIME]
        built = await all_or_first_error(rewrite(nodes, each, number) for each in some)
        made += [rewritten(each, found) for each, found in zip(some, built, strict=True)]
        done(len(made))
    return WrittenAnew(number, made)


async def rewrite(nodes: Nodes, wanted: Rewrite, number: int) -> BuiltChunk:
    """Make a segment of several on all nodes of a chunk.

    Raises
    ------
    IngestError
        It has not the rows that it should have.
    """
    base = [segment.number for segment in wanted.segments if segment.row_count]
    overlap = [segment.number for segment in wanted.segments if segment.overlap_row_count]
    declared = table_to_json(wanted.table)
    without = list(map(dict, wanted.without))
    action = MergeSegments(
        wanted.database, declared, wanted.chunk, base, overlap, number, without, list(wanted.fresh), wanted.background
    )
    built = await all_or_first_error(nodes.call(node, partial(_make, action=action)) for node in wanted.nodes)
    rows = (
        sum(segment.row_count for segment in wanted.segments) - wanted.rows,
        sum(segment.overlap_row_count for segment in wanted.segments) - wanted.overlap_rows,
    )
    if any((made.rows, made.overlap_rows) != rows for made in built):
        found = ", ".join(f"{node}: {made.rows} and {made.overlap_rows}" for node, made in zip(wanted.nodes, built, strict=True))
        what = f"table {wanted.database}.{wanted.table.name}, chunk {wanted.chunk}"
        msg = f"{what}: {rows[0]} rows and {rows[1]} of overlap were to be written, and these were: {found}"
        raise IngestError(msg)
    return built[0]


def rewritten(wanted: Rewrite, built: BuiltChunk) -> Rewritten:
    """Return what the metadata are to know of it."""
    record = ChunkRecord(wanted.chunk, built.rows, built.overlap_rows, wanted.nodes, built.friends_deg)
    statistics = [StatisticsRecord(wanted.chunk, *column) for column in built.statistics]
    return Rewritten(record, wanted.numbers, statistics)


def _make(client: WorkerClient, action: MergeSegments) -> BuiltChunk:
    return client.merge(action)

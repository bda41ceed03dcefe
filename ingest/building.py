"""Runs -> chunk tables, on each node by itself; and what the nodes say of them, compared with each other and with what was read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from ingest.nodes import Nodes, all_or_first_error
from ingest.places import Place
from ingest.report import Progress, ProgressCallback, Stage
from ingest.sending import Placement
from partitioner.nearest import REACH_DEG
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata.catalogue import Json, TableRow
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from schema.model import Table, TableRole
from workers.client import WorkerClient
from workers.runs.neighbours import NEAREST_FACT
from workers.table_actions import BuildTable, BuiltChunk

Built = Mapping[NodeId, Mapping[ChunkId, BuiltChunk]]
"""What each node made."""


async def build(nodes: Nodes, action: BuildTable, total: int | None, progress: ProgressCallback) -> Built:
    """Make the chunk tables of a table on all nodes.

    Parameters
    ----------
    total
        Chunk tables that are expected, on all nodes together; None where that is not known.

    Raises
    ------
    IngestError
        A key occurs twice.
    StorageFullError, NodeUnavailableError
        From a node.
    """
    stopped, done = threading.Event(), count(1)

    def work(client: WorkerClient) -> dict[ChunkId, BuiltChunk]:
        made: dict[ChunkId, BuiltChunk] = {}
        for chunk in client.build(action):
            made[ChunkId(chunk.chunk)] = chunk
            progress(Progress(action.declaration["name"], Stage.BUILDING, next(done), total))
            if stopped.is_set():  # leaving the loop ends the call
                break
        return made

    built = await all_or_first_error(nodes.call(node, work, stopped) for node in nodes.names)
    return dict(zip(nodes.names, built, strict=True))


@dataclass(frozen=True)
class BuiltTable:
    """A table on all its nodes."""

    chunks: tuple[ChunkRecord, ...]
    statistics: tuple[StatisticsRecord, ...]
    facts: Json

    @property
    def rows(self) -> int:
        """Rows, overlap not counted."""
        return sum(chunk.row_count for chunk in self.chunks)

    @property
    def overlap_rows(self) -> int:
        """Rows of overlap tables."""
        return sum(chunk.overlap_row_count for chunk in self.chunks)

    @classmethod
    def of(cls, table: Table, built: Built, placement: Placement, rows: int) -> "BuiltTable":
        """Put together what the nodes made.

        Parameters
        ----------
        rows
            How many were read.

        Raises
        ------
        IngestError
            A node has other chunks than it should have, or replicas of a chunk differ, or rows are missing.
        """
        chunks, first = [], []
        for chunk in sorted({chunk for made in built.values() for chunk in made}):
            holders = {node for node, made in built.items() if chunk in made}
            found = {(built[node][chunk].rows, built[node][chunk].overlap_rows) for node in holders}
            if holders != set(placement[chunk]) or len(found) > 1:
                msg = f"table {table.name}, chunk {chunk}: its nodes do not have the same rows of it; load again"
                raise IngestError(msg)
            first.append(built[placement[chunk][0]][chunk])
            chunks.append(ChunkRecord(chunk, *found.pop(), placement[chunk], first[-1].friends_deg))
        statistics = tuple(StatisticsRecord(ChunkId(each.chunk), *column) for each in first for column in each.statistics)
        known = [REACH_DEG, *(each.nearest_deg for each in first if each.nearest_deg is not None)]
        made = cls(tuple(chunks), statistics, {NEAREST_FACT: min(known)} if table.role is TableRole.DIRECTOR else {})
        if made.rows != rows:
            msg = f"table {table.name}: {rows} rows were read, {made.rows} are on the nodes; load again"
            raise IngestError(msg)
        return made


@dataclass(frozen=True)
class NewSegment:
    """Rows of a table that are on the nodes beside those of before, and do not count; its number."""

    number: int
    made: BuiltTable

    def places(self, row: TableRow) -> dict[ChunkId, Place]:
        """Return where the rows are."""
        return {one.chunk: Place.of(row, one.chunk, one.nodes, [self.segments[one.chunk]]) for one in self.made.chunks}

    @cached_property
    def segments(self) -> dict[ChunkId, Segment]:
        """What each chunk has of it."""
        return {one.chunk: Segment(self.number, one.row_count, one.overlap_row_count) for one in self.made.chunks}

"""Sorted rows -> chunk tables on the nodes: one load a chunk table and replica, each with its indexes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

import pyarrow as pa

from ingest.nearest import NearestColumn
from ingest.nodes import Nodes, all_or_first_error
from ingest.report import Progress, ProgressCallback, Stage
from ingest.runs import Runs
from ingest.statistics import ChunkStatistics
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId
from qserv.metadata.catalogue import REPLICATED_CHUNK, Json
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from schema.model import HEALPIX_COLUMN, NEAREST_COLUMN
from workers.client import WorkerClient
from workers.protocol import ChunkLoad, PrepareTable

Placement = Mapping[ChunkId, tuple[NodeId, ...]]
"""Nodes that hold each chunk."""

HIDDEN = {HEALPIX_COLUMN, NEAREST_COLUMN}
"""Columns whose ranges nobody asks for."""


@dataclass(frozen=True)
class SentTable:
    """What the nodes confirmed, and the ranges of the columns."""

    chunks: tuple[ChunkRecord, ...]
    statistics: tuple[StatisticsRecord, ...]

    @property
    def rows(self) -> int:
        """Rows, overlap not counted."""
        return sum(chunk.row_count for chunk in self.chunks)

    @property
    def overlap_rows(self) -> int:
        """Rows of overlap tables."""
        return sum(chunk.overlap_row_count for chunk in self.chunks)


@dataclass(frozen=True)
class _Stream:
    """Rows of one physical table, for one node."""

    node: NodeId
    chunk: ChunkId
    part: str
    runs: Runs
    rows: int
    statistics: ChunkStatistics | None = None
    nearest: NearestColumn | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self.runs.read(self.chunk) if self.nearest is None else self.nearest.added(self.chunk, self.runs):
            if self.statistics is not None:
                self.statistics.add(batch)
            yield batch


@dataclass(frozen=True)
class Destination:
    """The physical tables of one table, on the nodes.

    Attributes
    ----------
    declaration
        The table with its columns, as workers take it.
    schema
        Of the rows as they are sent.
    """

    nodes: Nodes
    database: str
    declaration: Json
    schema: pa.Schema
    progress: ProgressCallback

    async def prepare(self) -> None:
        """Make the table's prototype on every node."""
        await self.nodes.call_all(lambda client: client.prepare(PrepareTable(self.database, self.declaration)))

    async def send(
        self, placement: Placement, base: Runs, overlap: Runs | None = None, nearest: NearestColumn | None = None
    ) -> SentTable:
        """Send the rows of every chunk to all its nodes.

        Parameters
        ----------
        placement
            Of all chunks that have rows, in ``base`` or ``overlap``; `REPLICATED_CHUNK` for a replicated table.
        overlap
            Rows of overlap tables, if the table has such.
        nearest
            Adds to the rows, of a director, how near the nearest other one is.

        Raises
        ------
        IngestError
            A node confirmed another number of rows than were read.
        StorageFullError, NodeUnavailableError
            From a node.
        """
        rows, near = base.row_counts, overlap.row_counts if overlap else {}
        statistics = {chunk: ChunkStatistics(chunk, self.schema) for chunk in placement}
        streams = []
        for chunk, names in placement.items():
            for place, node in enumerate(names):
                if chunk in rows or chunk == REPLICATED_CHUNK:
                    # Ranges are taken while the first replica is read; the others hold the same rows.
                    measured = statistics[chunk] if place == 0 else None
                    streams.append(_Stream(node, chunk, "base", base, rows.get(chunk, 0), measured, nearest))
                if overlap is not None and chunk in near:
                    streams.append(_Stream(node, chunk, "overlap", overlap, near[chunk], nearest=nearest))
        # The largest first: so no node is left with a large one when the others are through.
        streams.sort(key=lambda stream: stream.rows, reverse=True)
        done = count(1)

        async def run(stream: _Stream) -> None:
            confirmed = await self.nodes.call(stream.node, partial(self._load, stream))
            if confirmed != stream.rows:
                msg = f"node {stream.node} confirmed {confirmed} rows of chunk {stream.chunk}, {stream.rows} were sent; load again"
                raise IngestError(msg)
            self._tell(Stage.SENDING, next(done), len(streams))

        await all_or_first_error(map(run, streams))
        return SentTable(
            tuple(ChunkRecord(chunk, statistics[chunk].rows, near.get(chunk, 0), names) for chunk, names in placement.items()),
            tuple(record for chunk in statistics.values() for record in chunk.records() if record.column not in HIDDEN),
        )

    def _tell(self, stage: Stage, done: int, total: int) -> None:
        self.progress(Progress(self.declaration["name"], stage, done, total))

    def _load(self, stream: _Stream, client: WorkerClient) -> int:
        chunk = None if stream.chunk == REPLICATED_CHUNK else stream.chunk
        return client.load(ChunkLoad(self.database, self.declaration, chunk, stream.part), self.schema, stream.batches()).rows

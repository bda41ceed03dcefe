"""Sorted rows -> chunk tables on the nodes: one load a chunk table and replica, each with its indexes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

import pyarrow as pa

from ingest.nearest import NeighbourColumns, with_columns
from ingest.nodes import Nodes, all_or_first_error
from ingest.report import Progress, ProgressCallback, Stage
from ingest.runs import Runs
from ingest.statistics import ChunkStatistics
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId
from qserv.metadata.catalogue import REPLICATED_CHUNK, Json
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from schema.model import HEALPIX_COLUMN
from workers.client import WorkerClient
from workers.protocol import ChunkLoad, PrepareTable

Placement = Mapping[ChunkId, tuple[NodeId, ...]]
"""Nodes that hold each chunk."""


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
class _Part:
    """Rows of one physical table: of the chunk, or of its overlap."""

    name: str
    runs: Runs
    rows: int
    statistics: ChunkStatistics | None = None

    def batches(self, chunk: ChunkId) -> Iterator[pa.RecordBatch]:
        for batch in self.runs.read(chunk):
            if self.statistics is not None:
                self.statistics.add(batch)
            yield batch


@dataclass(frozen=True)
class _Sending:
    """The physical tables of a chunk, for one node, one after the other."""

    node: NodeId
    chunk: ChunkId
    parts: tuple[_Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


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
        self, placement: Placement, base: Runs, overlap: Runs | None = None, neighbours: NeighbourColumns | None = None
    ) -> SentTable:
        """Send the rows of every chunk to all its nodes.

        Parameters
        ----------
        placement
            Of all chunks that have rows, in ``base`` or ``overlap``; `REPLICATED_CHUNK` for a replicated table.
        overlap
            Rows of overlap tables, if the table has such.
        neighbours
            Of a director, adds to the rows how near the nearest other one is, and which ones are near.

        Raises
        ------
        IngestError
            A node confirmed another number of rows than were read.
        StorageFullError, NodeUnavailableError
            From a node.
        """
        rows, near = base.row_counts, overlap.row_counts if overlap else {}
        statistics = {chunk: ChunkStatistics(chunk, base.schema) for chunk in placement}
        sendings = []
        for chunk, names in placement.items():
            for place, node in enumerate(names):
                parts = []
                if chunk in rows or chunk == REPLICATED_CHUNK:
                    # Ranges are taken while the first replica is read; the others hold the same rows.
                    measured = statistics[chunk] if place == 0 else None
                    parts.append(_Part("base", base, rows.get(chunk, 0), measured))
                if overlap is not None and chunk in near:
                    parts.append(_Part("overlap", overlap, near[chunk]))
                sendings.append(_Sending(node, chunk, tuple(parts)))
        # The largest first: so no node is left with a large one when the others are through.
        sendings.sort(key=lambda sending: sending.rows, reverse=True)
        done = count(1)

        async def run(sending: _Sending) -> None:
            await self.nodes.call(sending.node, partial(self._load, sending, neighbours))
            self._tell(Stage.SENDING, next(done), len(sendings))

        await all_or_first_error(map(run, sendings))
        return SentTable(
            tuple(ChunkRecord(chunk, statistics[chunk].rows, near.get(chunk, 0), names) for chunk, names in placement.items()),
            tuple(record for chunk in statistics.values() for record in chunk.records() if record.column != HEALPIX_COLUMN),
        )

    def _tell(self, stage: Stage, done: int, total: int) -> None:
        self.progress(Progress(self.declaration["name"], stage, done, total))

    def _load(self, sending: _Sending, neighbours: NeighbourColumns | None, client: WorkerClient) -> None:
        """Load the tables of a chunk."""
        chunk = None if sending.chunk == REPLICATED_CHUNK else sending.chunk
        known = neighbours.of_chunk(sending.chunk) if neighbours is not None else {}
        for part in sending.parts:
            batches = part.batches(sending.chunk)
            if part.name in known:
                batches = with_columns(batches, known[part.name])
            confirmed = client.load(ChunkLoad(self.database, self.declaration, chunk, part.name), self.schema, batches).rows
            if confirmed != part.rows:
                msg = f"node {sending.node} confirmed {confirmed} rows of chunk {sending.chunk}, {part.rows} were sent; load again"
                raise IngestError(msg)

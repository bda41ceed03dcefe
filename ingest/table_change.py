"""What a transaction makes of published tables, step after step: it is on the nodes, and does not count until all of it does."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncConnection

from ingest.building import NewSegment
from ingest.chunking import ChunkedRows, copies
from ingest.family import Family
from ingest.making import Making
from ingest.places import Place, segments_of
from ingest.rewriting import Rewrite, WrittenAnew, written_anew
from partitioner.healpix import Pixels
from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata import rewrites, segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.rewrites import Shift
from qserv.metadata.segments import Appended, BuildKind
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Table, TableRole
from schema.serialise import column_to_json
from workers.runs.taking import taken


@dataclass
class Change:
    """What becomes of a table.

    Attributes
    ----------
    sent
        Its rows that came with the transaction, or that ended with it.
    shifted
        By how many there are more, or fewer, of rows, or copies of the overlap, of contributions in chunks.
    steps
        In their order: segments beside what a chunk has, and those that stand for all that it had.
    """

    row: TableRow
    table: Table
    sent: NewSegment | None = None
    shifted: Counter[tuple[int, ChunkId, bool]] = field(default_factory=Counter)
    steps: list[NewSegment | WrittenAnew] = field(default_factory=list)

    @cached_property
    def now(self) -> dict[ChunkId, list[Segment]]:
        """What each chunk has, after the steps so far."""
        return {chunk: list(found) for chunk, found in segments_of(self.row).items()}

    @cached_property
    def nodes(self) -> dict[ChunkId, tuple[NodeId, ...]]:
        """The nodes of each chunk."""
        return dict(self.row.replicas)

    def send(self, segment: NewSegment) -> None:
        """Add rows that came with the transaction, or that end with it."""
        self.sent = segment
        self.add(segment)

    def add(self, segment: NewSegment) -> None:
        """Add rows beside what there is."""
        for one in segment.made.chunks:
            self.nodes.setdefault(one.chunk, one.nodes)
            self.now.setdefault(one.chunk, []).append(segment.segments[one.chunk])
        self.steps.append(segment)

    def stand(self, anew: WrittenAnew) -> None:
        """Let a segment stand for all that some chunks had."""
        for chunk, segment in anew.segments.items():
            self.now[chunk] = [segment]
        self.steps.append(anew)

    def shift(self, rows: pa.RecordBatch, chunks: Pixels, family: Family, by: int) -> None:
        """Write down that rows are in chunks now (1), or no more (-1): those of a history are of who ended them."""
        numbers = np.asarray(rows.column(ENDED_COLUMN if self.table.is_history else CONTRIBUTION_COLUMN).fill_null(0))
        for part, at, there in ((False, slice(None), chunks), (True, *copies_of(self.table, rows, chunks, family))):
            places, counts = np.unique(np.stack((numbers[at], there)), axis=1, return_counts=True)
            for (number, chunk), count in zip(places.T.tolist(), counts.tolist(), strict=True):
                self.shifted[number, ChunkId(chunk), part] += by * count

    def place(self, chunk: ChunkId) -> Place:
        """Return where the rows of a chunk are."""
        return Place.of(self.row, chunk, self.nodes[chunk], self.now[chunk])

    @property
    def new(self) -> dict[ChunkId, Place]:
        """Where rows are that no chunk had before."""
        found = defaultdict(list)
        for step in self.steps:
            if isinstance(step, NewSegment):
                for chunk, segment in step.segments.items():
                    found[chunk].append(segment)
        return {chunk: Place.of(self.row, chunk, self.nodes[chunk], parts) for chunk, parts in found.items()}

    @property
    def changed(self) -> list[ChunkId]:
        """Chunks that are not as they were."""
        return sorted({chunk for step in self.steps for chunk in step.segments})

    async def count(self, connection: AsyncConnection, transaction_id: int) -> None:
        """Let all of it count, within the caller's transaction."""
        table_id, datatypes = self.row.table_id, {column.name: column_to_json(column)["datatype"] for column in self.table.columns}
        for step in self.steps:
            if isinstance(step, WrittenAnew):
                await rewrites.rewrite(connection, table_id, step.number, step.chunks)
                await segments.end_build(connection, step.number)
            else:
                added = Appended(table_id, step.number, step.made.chunks, step.made.statistics, datatypes)
                await segments.append(connection, added, transaction_id if step is self.sent else None)
        await rewrites.shift(connection, table_id, [Shift(*at, rows) for at, rows in self.shifted.items() if rows])


@dataclass
class Leaving:
    """Rows that leave their chunks, which are written anew without them.

    Attributes
    ----------
    columns
        Integers that tell them: all rows that have these leave, but those of ``fresh`` segments.
    """

    change: Change
    family: Family
    columns: tuple[str, ...]
    fresh: tuple[int, ...] = ()
    _rows: Counter[tuple[ChunkId, bool]] = field(default_factory=Counter)
    _keys: defaultdict[ChunkId, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))

    def add(self, rows: pa.RecordBatch, homes: Pixels) -> None:
        """Take rows of chunks, and their copies in the overlap of others."""
        keys = list(zip(*(rows.column(name).cast(pa.int64()).to_pylist() for name in self.columns), strict=True))
        near, there = copies_of(self.change.table, rows, homes, self.family)
        for part, at, chunks in ((False, np.arange(len(keys)), homes), (True, near, there)):
            for row, chunk in zip(at.tolist(), map(ChunkId, chunks.tolist()), strict=True):
                self._rows[chunk, part] += 1
                self._keys[chunk].add(keys[row])

    def __bool__(self) -> bool:
        return bool(self._keys)

    def shift(self, contribution_id: int) -> None:
        """Write down that the rows were of a transaction, one of whose contributions has this number."""
        self.change.shifted.subtract({(contribution_id, *place): rows for place, rows in self._rows.items()})

    async def written(self, making: Making, number: int) -> None:
        """Write the chunks anew, as a segment of this number."""
        self.change.stand(await written_anew(making.nodes, [self.rewrite(chunk) for chunk in self.chunks], number))

    @property
    def chunks(self) -> list[ChunkId]:
        """The chunks that are written anew, ascending."""
        return sorted(self._keys)

    def rewrite(self, chunk: ChunkId) -> Rewrite:
        """Return how a chunk is written anew."""
        columns = list(map(list, zip(*sorted(self._keys[chunk]), strict=True))) if chunk in self._keys else []
        return Rewrite(
            database=self.change.row.database,
            table=self.change.table,
            chunk=chunk,
            nodes=self.change.nodes[chunk],
            segments=self.change.now[chunk],
            rows=self._rows[chunk, False],
            overlap_rows=self._rows[chunk, True],
            without=[dict(zip(self.columns, columns, strict=True))] if columns else [],
            fresh=self.fresh,
        )


async def begin_segment(connection: AsyncConnection, family: Family, row: TableRow) -> int:
    """Return the number of a new segment of a table, within the caller's transaction."""
    return await segments.begin_build(connection, family.name, row.database, row.name, BuildKind.APPEND)


def copies_of(table: Table, rows: pa.RecordBatch, homes: Pixels, family: Family) -> tuple[Pixels, Pixels]:
    """Return (row, chunk) of each copy in the overlap of a chunk where a row is not at home."""
    if table.role is not TableRole.DIRECTOR and not table.overlap:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ra, dec = (rows.column(str(name)).to_numpy(zero_copy_only=False) for name in (table.ra, table.dec))
    return copies(ra, dec, homes, family.chunk_map, family.overlap_deg)


def placed(table: Table, rows: pa.RecordBatch, homes: Pixels, family: Family) -> ChunkedRows:
    """Return rows with their chunks, shape (n,), and copies for the overlap of others."""
    copied, there = copies_of(table, rows, homes, family)
    return ChunkedRows(rows, homes, taken(rows, copied), there)

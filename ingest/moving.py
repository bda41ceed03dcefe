"""Objects that new versions place in other chunks: all that hangs on them goes there too, in the same commit.

Their rows are read from the nodes that have them, and become a segment of the chunks where they belong from now on; the chunks that
they leave are written anew, without them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.building import NewSegment
from ingest.chunking import ChunkedRows, copies
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.places import BASE, Place, segments_of
from ingest.references import Measurement, slot_safe
from ingest.regrouping import Regrouping
from ingest.rewriting import Rewrite, WrittenAnew, written_anew
from partitioner.healpix import Pixels
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata import segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.engine import changing
from qserv.metadata.rewrites import Shift
from qserv.metadata.segments import BuildKind
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Table, Versions
from schema.physical import quote
from schema.types import row_schema
from workers.template import constant

Places = Mapping[str, Mapping[ChunkId, Place]]
"""Where rows of tables are, by their names."""


@dataclass(frozen=True)
class Moves:
    """Keys of a director whose rows move, ascending, and the chunks from and to which they do: three arrays of shape (n,)."""

    keys: Pixels
    sources: Pixels
    targets: Pixels

    def __bool__(self) -> bool:
        return bool(len(self.keys))

    @property
    def leaving(self) -> dict[ChunkId, list[int]]:
        """The keys that leave each chunk."""
        return _grouped(self.sources, self.keys)

    def of(self, keys: Pixels) -> tuple[Pixels, Pixels]:
        """Return the chunks from and to which some of the keys move."""
        at = np.searchsorted(self.keys, keys)
        return self.sources[at], self.targets[at]


async def find_moves(making: Making, family: Family, table: Table, new: Mapping[ChunkId, Place]) -> Moves:
    """Return which of the new rows of a director are not in the chunk of those before them.

    Raises
    ------
    IngestError
        Two of them have one key.
    """
    key, found = quote(str(table.director_key)), list[pa.RecordBatch]()
    places = {
        chunk: replace(place, base=f"(SELECT {key} AS key, CAST({chunk} AS bigint) AS chunk FROM {place.base} AS rows)")  # noqa: S608 (quoted)
        for chunk, place in new.items()
    }
    template = "SELECT CAST(source.key AS bigint) AS key, source.chunk FROM {source} AS source"
    await measurement(making, family, {table.name: places}).ask(template, {"source": (table, BASE)}, found.append)
    keys, chunks = (np.concatenate([np.empty(0, np.int64), *(batch.column(at).to_numpy() for batch in found)]) for at in (0, 1))
    homes, known = await Directors(making.engine, making.staging).find(table.name, pa.array(keys))
    away = known & (homes != chunks)
    moving = np.isin(keys, keys[away])
    if moving.sum() > len(np.unique(keys[moving])):
        listed, counts = np.unique(keys[moving], return_counts=True)
        msg = f"director table {table.name}: key {listed[counts > 1][0]} occurs twice in what was sent; it has one row a key"
        raise IngestError(msg)
    order = np.flatnonzero(away)[np.argsort(keys[away])]
    return Moves(keys[order], homes[order], chunks[order])


@dataclass(frozen=True)
class Moved:
    """What becomes of a table whose director's rows move: it is on the nodes, and does not count.

    Attributes
    ----------
    segment
        The rows, where they are from now on.
    anew
        The chunks that they left.
    shifts
        How many rows of each contribution are in other chunks than before.
    """

    segment: NewSegment
    anew: WrittenAnew | None
    shifts: tuple[Shift, ...]


@dataclass(frozen=True)
class Ending:
    """Rows of a director that new ones in other chunks follow: with the others of their keys, they go to the history."""

    table: Table
    versions: Versions
    places: Mapping[ChunkId, Place]
    newer: pa.Table
    """Key, begin and contribution of the new rows, in the order of the keys."""

    @classmethod
    async def read(  # noqa: PLR0913, PLR0917 (which rows, of what, where)
        cls,
        making: Making,
        family: Family,
        moves: Moves,
        table: Table,
        versions: Versions,
        places: tuple[Mapping[ChunkId, Place], Mapping[ChunkId, Place]],
    ) -> "Ending":
        """Read what is known of the new rows; ``places`` are where those before are, and the new ones."""
        before, new = places
        there = {chunk: _among(new[chunk], table, keys) for chunk, keys in _grouped(moves.targets, moves.keys).items()}
        key, start, number = (slot_safe(name) for name in (table.director_key, versions.start, CONTRIBUTION_COLUMN))
        shown = f"CAST(source.{key} AS bigint) AS key, source.{start} AS start, source.{number} AS number"
        template = f"SELECT {shown} FROM {{source}} AS source"  # noqa: S608 (quoted)
        found: list[pa.RecordBatch] = []
        await measurement(making, family, {table.name: there}).ask(template, {"source": (table, BASE)}, found.append)
        leaving = {chunk: _among(before[chunk], table, keys) for chunk, keys in moves.leaving.items()}
        return cls(table, versions, leaving, pa.Table.from_batches(found).sort_by("key").combine_chunks())

    def ended(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """Return rows of the director as such of the history, with its schema.

        Raises
        ------
        IngestError
            One begins later than the row that follows it.
        """
        keys = batch.column(str(self.table.director_key)).cast(pa.int64())
        newer = self.newer.take(pa.array(np.searchsorted(self.newer["key"].to_numpy(), keys.to_numpy())))
        later = pc.greater(newer["start"], batch.column(self.versions.start)).combine_chunks().fill_null(fill_value=False)
        if not pc.all(later).as_py():
            raise not_later(self.table, self.versions, pc.min(keys.filter(pc.invert(later))).as_py())
        columns = {name: batch.column(name) for name in batch.schema.names}
        columns |= {self.versions.end: newer["start"].combine_chunks(), ENDED_COLUMN: newer["number"].combine_chunks()}
        return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)


@dataclass(frozen=True)
class Moving:
    """Takes rows of one table after their director's: a dependent, or the history.

    Attributes
    ----------
    new
        Its rows that came with the transaction, if any did: they are where the director's rows were.
    """

    making: Making
    family: Family
    moves: Moves
    table: Table
    row: TableRow
    new: NewSegment | None
    _left: Counter[tuple[ChunkId, bool]] = field(default_factory=Counter)
    _keys: dict[ChunkId, set[int]] = field(default_factory=dict)
    _shifted: Counter[tuple[int, ChunkId, bool]] = field(default_factory=Counter)

    async def run(self, ending: Ending | None) -> Moved | None:
        """Make what is to be in the chunks that rows come to, and that they leave; None if there are none."""
        making, schema = self.making, row_schema(self.table)
        gathered = Regrouping(making, self.table, self.row.table_id)
        leaving = {
            chunk: keys for chunk, keys in self.moves.leaving.items() if any(part.row_count for part in self._segments(chunk))
        }
        places = {chunk: _among(self._place(chunk), self.table, keys) for chunk, keys in leaving.items()}
        await gathered.read(measurement(making, self.family, {self.table.name: places}), self.table, schema.names, self._moved)
        if ending is not None:
            names = [name for name in schema.names if name != ENDED_COLUMN]

            async def ended(batch: pa.RecordBatch) -> ChunkedRows:
                return self._placed(ending.ended(batch, schema))

            of_ended = measurement(making, self.family, {ending.table.name: ending.places})
            await gathered.read(of_ended, ending.table, names, ended)
        if not gathered.rows:
            return None
        async with changing(making.engine, "ingest.append.move") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        segment = NewSegment(number, await gathered.made(number))
        return Moved(segment, await self._anew(), tuple(Shift(*at, rows) for at, rows in self._shifted.items() if rows))

    async def _anew(self) -> WrittenAnew | None:
        """Make the chunks that rows left without them."""
        if not self._keys:
            return None
        async with changing(self.making.engine, "ingest.append.leave") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        key = str(self.table.director_key)
        wanted = [
            Rewrite(
                database=self.row.database,
                table=self.table,
                chunk=chunk,
                nodes=self._nodes(chunk),
                segments=self._segments(chunk),
                rows=self._left[chunk, False],
                overlap_rows=self._left[chunk, True],
                without={key: sorted(keys)},
            )
            for chunk, keys in sorted(self._keys.items())
        ]
        return await written_anew(self.making.nodes, wanted, number)

    async def _moved(self, batch: pa.RecordBatch) -> ChunkedRows:
        """Return rows with the chunks to which they go, and count those that leave."""
        (rows,) = pa.Table.from_batches([batch]).cast(row_schema(self.table)).combine_chunks().to_batches()
        keys = rows.column(str(self.table.director_key)).cast(pa.int64()).to_numpy()
        sources, targets = self.moves.of(keys)
        placed = self._placed(rows)
        numbers = rows.column(ENDED_COLUMN if self.table.is_history else CONTRIBUTION_COLUMN)
        of_rows = np.asarray(numbers.fill_null(0))
        everything = np.arange(len(keys))
        near, there = self._copies(rows, sources)
        copied, around = self._copies(rows, targets)
        for part, at, chunks, sign in (
            (False, everything, sources, -1),
            (True, near, there, -1),
            (False, everything, targets, 1),
            (True, copied, around, 1),
        ):
            for number, chunk, key in zip(of_rows[at].tolist(), chunks.tolist(), keys[at].tolist(), strict=True):
                self._shifted[number, ChunkId(chunk), part] += sign
                if sign < 0:
                    self._left[ChunkId(chunk), part] += 1
                    self._keys.setdefault(ChunkId(chunk), set()).add(key)
        return placed

    def _placed(self, rows: pa.RecordBatch) -> ChunkedRows:
        _, targets = self.moves.of(rows.column(str(self.table.director_key)).cast(pa.int64()).to_numpy())
        copied, there = self._copies(rows, targets)
        return ChunkedRows(rows, targets, rows.take(pa.array(copied)), there)

    def _copies(self, rows: pa.RecordBatch, chunks: Pixels) -> tuple[Pixels, Pixels]:
        """Return (row, chunk) of the overlap that has copies of rows that are at home in some chunks."""
        if not self.table.overlap:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        ra, dec = (rows.column(str(name)).to_numpy(zero_copy_only=False) for name in (self.table.ra, self.table.dec))
        return copies(ra, dec, chunks, self.family.chunk_map, self.family.overlap_deg)

    def _segments(self, chunk: ChunkId) -> list[Segment]:
        """Return what a chunk has: before, and with the new rows."""
        new = self.new.segments if self.new else {}
        return [*segments_of(self.row).get(chunk, ()), *([new[chunk]] if chunk in new else [])]

    def _nodes(self, chunk: ChunkId) -> tuple[NodeId, ...]:
        return self.row.replicas.get(chunk) or self.making.placement_of(self.table)[chunk]

    def _place(self, chunk: ChunkId) -> Place:
        return Place.of(self.row, chunk, self._nodes(chunk), self._segments(chunk))


def not_later(table: Table, versions: Versions, key: int) -> IngestError:
    """Return the error of a row that begins before the one that it follows."""
    msg = f"the row of {table.director_key} {key} does not begin ({versions.start}) after the one that is there"
    return IngestError(f"table {table.name}: {msg}")


def _among(place: Place, table: Table, keys: list[int]) -> Place:
    """Return where the rows of some directors' keys are."""
    condition = f"rows.{quote(str(table.director_key))} = ANY({constant(keys)})"
    return replace(place, base=f"(SELECT * FROM {place.base} AS rows WHERE {condition})")  # noqa: S608 (quoted, and integers)


def _grouped(chunks: Pixels, keys: Pixels) -> dict[ChunkId, list[int]]:
    found: dict[ChunkId, list[int]] = {}
    for chunk, key in zip(chunks.tolist(), keys.tolist(), strict=True):
        found.setdefault(ChunkId(chunk), []).append(key)
    return found


def measurement(making: Making, family: Family, places: Places, measured: Places | None = None) -> Measurement:
    """Return what asks nodes about rows of tables: of all that are there, or of some that are measured."""
    return Measurement(making.engine, making.nodes, family.database, making.staging, places, measured or places)

"""Objects that new versions place in other chunks: all that hangs on them goes there too, in the same commit.

Their rows are read from the nodes that have them, and become a segment of the chunks where they belong from now on; the chunks that
they leave are written anew, without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.building import NewSegment
from ingest.chunking import ChunkedRows
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.newer import Keys, Newer, among, keys_from, measurement, occurs_twice
from ingest.places import BASE, Place, places_of
from ingest.regrouping import Regrouping
from ingest.table_change import Change, Leaving, begin_segment, placed
from partitioner.healpix import Pixels
from qserv.errors import IngestError
from qserv.ids import ChunkId
from qserv.metadata.catalogue import load_catalogue
from qserv.metadata.engine import changing, connect
from qserv.metadata.registration import table_state
from schema.model import ENDED_COLUMN, Database, Table, Versions
from schema.physical import quote
from schema.types import row_schema


@dataclass(frozen=True)
class Moves:
    """Keys of a director whose rows move, ascending, and the chunks from and to which they do: three arrays of shape (n,)."""

    keys: Pixels
    sources: Pixels
    targets: Pixels

    def __bool__(self) -> bool:
        return bool(len(self.keys))

    @property
    def leaving(self) -> dict[ChunkId, Keys]:
        """The keys that leave each chunk."""
        return _grouped(self.sources, self.keys)

    @property
    def arriving(self) -> dict[ChunkId, Keys]:
        """The keys that each chunk gets."""
        return _grouped(self.targets, self.keys)

    def applied(self, keys: Pixels, chunks: Pixels) -> Pixels:
        """Return the chunks of rows of keys, which were in some: two arrays of shape (n,)."""
        moving, found = np.isin(keys, self.keys), chunks.copy()
        _, found[moving] = self.of(keys[moving])
        return found

    def of(self, keys: Pixels) -> tuple[Pixels, Pixels]:
        """Return the chunks from and to which some of the keys move."""
        at = np.searchsorted(self.keys, keys)
        return self.sources[at], self.targets[at]


NONE = Moves(*(np.empty(0, np.int64) for _ in range(3)))
"""Nothing moves."""


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
        raise occurs_twice(table, keys_from(listed[counts > 1])[0])
    order = np.flatnonzero(away)[np.argsort(keys[away])]
    return Moves(keys[order], homes[order], chunks[order])


async def check_shown(engine: AsyncEngine, database: Database, director: Table) -> None:
    """Refuse to move objects while rows of theirs are withheld from users, and so not among what moves.

    Raises
    ------
    IngestError
        A dependent is withheld.
    """
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, unpublished=True, beside=database.name, only=())
    async with connect(engine) as connection:
        whole = {name for name, is_whole in (await table_state(connection, database.name)).items() if is_whole}
    hidden = whole - database.by_name.keys()
    for row in catalogue.tables:
        if row.database == database.name and row.name in hidden and row.declaration.get("director") == director.name:
            msg = (
                f"rows of table {director.name} lie in other chunks than those before, and table {row.name}, whose rows have to "
                f"move with them, is withheld; cancel this transaction, show the table (`qserv publish`), and send the rows again"
            )
            raise IngestError(msg)


@dataclass(frozen=True)
class Ending:
    """Rows of a director that ``newer`` ones in other chunks follow: with the others of their keys, they go to the history."""

    newer: Newer
    places: Mapping[ChunkId, Place]

    @classmethod
    async def read(cls, making: Making, family: Family, moves: Moves, change: Change, versions: Versions) -> "Ending":
        """Read what is known of the new rows."""
        table, before, new = change.table, places_of(change.row), change.new
        arriving = {chunk: among(new[chunk], table.version_key, keys) for chunk, keys in moves.arriving.items()}
        leaving = {chunk: among(before[chunk], table.version_key, keys) for chunk, keys in moves.leaving.items()}
        return cls(await Newer.read(making, family, table, versions, arriving), leaving)


@dataclass(frozen=True)
class Moving:
    """Takes rows of one table after their director's: of a dependent, or the history."""

    making: Making
    family: Family
    moves: Moves
    change: Change

    async def run(self, ending: Ending | None) -> None:
        """Make what is to be in the chunks that rows come to, and that they leave.

        Parameters
        ----------
        ending
            Rows of the director that go to the table, if it is the history.
        """
        making, change, table = self.making, self.change, self.change.table
        gathered, schema = Regrouping(making, table, change.row.table_id), row_schema(table)
        leaving = Leaving(change, self.family, (str(table.director_key),))

        async def ended(batch: pa.RecordBatch) -> ChunkedRows:
            rows = ending.newer.ended(batch, schema) if ending is not None else batch
            _, chunks = self.moves.of(_keys(rows, table))
            change.shift(rows, chunks, self.family, 1)
            return placed(table, rows, chunks, self.family)

        there = {chunk for chunk in self.moves.leaving if any(part.row_count for part in change.now.get(chunk, ()))}
        await self.gather(gathered, leaving, {chunk: change.place(chunk) for chunk in there})
        if ending is not None:
            of_ended = measurement(making, self.family, {ending.newer.table.name: ending.places})
            await gathered.read(of_ended, ending.newer.table, [name for name in schema.names if name != ENDED_COLUMN], ended)
        if leaving:
            async with changing(making.engine, "ingest.append.leave") as connection:
                number = await begin_segment(connection, self.family, change.row)
            await leaving.written(making, number)
        if gathered.rows:
            async with changing(making.engine, "ingest.append.move") as connection:
                number = await begin_segment(connection, self.family, change.row)
            change.add(NewSegment(number, await gathered.made(number)))

    async def gather(self, gathered: Regrouping, leaving: Leaving, places: Mapping[ChunkId, Place]) -> None:
        """Read the rows that move, of those in some places, and write down that they leave."""
        table, schema = self.change.table, row_schema(self.change.table)

        async def moved(batch: pa.RecordBatch) -> ChunkedRows:
            (rows,) = pa.Table.from_batches([batch]).cast(schema).combine_chunks().to_batches()
            sources, targets = self.moves.of(_keys(rows, table))
            leaving.add(rows, sources)
            self.change.shift(rows, sources, self.family, -1)
            self.change.shift(rows, targets, self.family, 1)
            return placed(table, rows, targets, self.family)

        going = {
            chunk: among(places[chunk], (str(table.director_key),), keys)
            for chunk, keys in self.moves.leaving.items()
            if chunk in places
        }
        await gathered.read(measurement(self.making, self.family, {table.name: going}), table, schema.names, moved)


def _keys(rows: pa.RecordBatch, table: Table) -> Pixels:
    """Return the keys of the directors of rows, shape (n,)."""
    keys: Pixels = rows.column(str(table.director_key)).cast(pa.int64()).to_numpy()
    return keys


def _grouped(chunks: Pixels, keys: Pixels) -> dict[ChunkId, Keys]:
    return {ChunkId(chunk): keys_from(keys[chunks == chunk]) for chunk in np.unique(chunks).tolist()}

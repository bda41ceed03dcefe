"""Former versions of rows, when those that follow them are taken back: they are the last ones again."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ingest.chunking import ChunkedRows
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.moving import Moves
from ingest.newer import measurement
from ingest.places import Place
from ingest.regrouping import Regrouping
from ingest.table_change import Change, placed
from qserv.ids import ChunkId
from schema.model import Table, Versions
from schema.types import row_schema


@dataclass(frozen=True)
class Restoring:
    """Rows of former versions that go back to a table.

    Attributes
    ----------
    moves
        Objects that go back to other chunks.
    version
        Of the catalogue, that showed the rows last.
    """

    making: Making
    family: Family
    change: Change
    moves: Moves
    version: int

    async def gather(self, gathered: Regrouping, versions: Versions, history: Table, places: Mapping[ChunkId, Place]) -> None:
        """Read the rows, of a history, from where they are."""
        schema = row_schema(self.change.table)

        async def restored(batch: pa.RecordBatch) -> ChunkedRows:
            there = {name: batch.column(name) for name in batch.schema.names}
            columns = [
                there[field.name].cast(field.type) if field.name in there else pa.nulls(len(batch), field.type) for field in schema
            ]
            return await self._placed(pa.RecordBatch.from_arrays(columns, schema=schema))

        ended = measurement(self.making, self.family, {history.name: places})
        await gathered.read(ended, history, [name for name in schema.names if name != versions.end], restored)

    async def _placed(self, rows: pa.RecordBatch) -> ChunkedRows:
        """Return rows with the chunks where their directors will be, and copies.

        A transaction has its rows written down where they were when they left: where others are now, that changes.
        """
        directors, table = Directors(self.making.engine, self.making.staging), self.change.table
        director, keys = table.director or table.name, rows.column(str(table.director_key))
        before, _ = await directors.find(director, keys, self.version)
        now, _ = await directors.find(director, keys)
        now = self.moves.applied(keys.to_numpy(), now)
        if (away := before != now).any():
            self.change.shift(rows.filter(pa.array(away)), before[away], self.family, -1)
            self.change.shift(rows.filter(pa.array(away)), now[away], self.family, 1)
        return placed(table, rows, now, self.family)

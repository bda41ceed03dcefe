"""Former versions of rows, when those that follow them are taken back: they are the last ones again."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ingest.building import NewSegment
from ingest.chunking import ChunkedRows
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.places import Place
from ingest.references import Measurement
from ingest.regrouping import Regrouping
from ingest.table_change import copies_of
from qserv.ids import ChunkId
from qserv.metadata import segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.engine import changing
from qserv.metadata.segments import BuildKind
from schema.model import Table, Versions
from schema.types import row_schema


@dataclass(frozen=True)
class Restoring:
    """Rows of a table of former versions that go back to ``table``, as a segment of it.

    Attributes
    ----------
    ended
        Where they are.
    """

    making: Making
    family: Family
    table: Table
    row: TableRow
    history: Table
    ended: Mapping[ChunkId, Place]

    async def run(self, versions: Versions) -> NewSegment:
        """Make the segment, with the copies for the overlap of other chunks; it does not count."""
        making, schema = self.making, row_schema(self.table)

        async def placed(batch: pa.RecordBatch) -> ChunkedRows:
            there = {name: batch.column(name) for name in batch.schema.names}
            columns = [
                there[field.name].cast(field.type) if field.name in there else pa.nulls(len(batch), field.type) for field in schema
            ]
            return await self._placed(pa.RecordBatch.from_arrays(columns, schema=schema))

        gathered, places = Regrouping(making, self.table, self.row.table_id), {self.history.name: self.ended}
        measurement = Measurement(making.engine, making.nodes, self.family.database, making.staging, places, places)
        await gathered.read(measurement, self.history, [name for name in schema.names if name != versions.end], placed)
        async with changing(making.engine, "ingest.withdraw.restore") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        return NewSegment(number, await gathered.made(number))

    async def _placed(self, rows: pa.RecordBatch) -> ChunkedRows:
        """Return rows with the chunks of their directors' keys, and copies."""
        directors, director = Directors(self.making.engine, self.making.staging), self.table.director or self.table.name
        homes, _ = await directors.find(director, rows.column(str(self.table.director_key)))
        copied, there = copies_of(self.table, rows, homes, self.family)
        return ChunkedRows(rows, homes, rows.take(pa.array(copied)), there)

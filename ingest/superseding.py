"""New versions of rows, when they are committed: those that they follow go to the table of former versions.

Chunks in which rows are followed are written anew: all rows but these, and the new ones. Others get the new rows
beside what they have.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ingest.building import BuiltTable, NewSegment
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.moving import Ending
from ingest.newer import keys_from, measurement, not_later
from ingest.nodes import all_or_first_error
from ingest.places import BASE, places_of, segments_of
from ingest.references import slot_safe
from ingest.rewriting import AT_A_TIME
from ingest.table_change import Change, Leaving, begin_segment
from qserv.errors import IngestError
from qserv.ids import ChunkId
from qserv.metadata.engine import changing
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from schema.model import Versions
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.table_actions import BuiltChunk, EndVersions


@dataclass(frozen=True)
class Superseding:
    """The rows of a director that new ones, which nodes have already, follow."""

    making: Making
    family: Family
    change: Change
    sent: NewSegment
    ended: Change
    """What becomes of the history."""

    async def run(self, versions: Versions, ending: Ending | None) -> None:
        """Write the chunks of these rows anew without them, and make a segment of the history of those that end in their chunks.

        Parameters
        ----------
        ending
            Rows that are followed in other chunks.

        Raises
        ------
        IngestError
            A row begins before the one that it follows.
        """
        change, key = self.change, str(self.change.table.director_key)
        leaving, ended = Leaving(change, self.family, (key,), (self.sent.number,)), Counter[ChunkId]()
        for found, here in ((await self._followed(versions), True), (await self._moving(ending), False)):
            for batch in found:
                homes, _ = await Directors(self.making.engine, self.making.staging).find(change.table.name, batch.column(key))
                leaving.add(batch, homes)
                ended.update(map(ChunkId, homes.tolist()) if here else ())
        if not leaving:
            return
        async with changing(self.making.engine, "ingest.append.rewrite") as connection:
            number = await begin_segment(connection, self.family, change.row)
        await leaving.written(self.making, number)
        if ended:
            self.ended.send(await self._ended(ended))

    async def _followed(self, versions: Versions) -> list[pa.RecordBatch]:
        """Return keys and positions of the rows that are followed in their chunks."""
        table, key, start = self.change.table, slot_safe(self.change.table.director_key), slot_safe(versions.start)
        found: list[pa.RecordBatch] = []
        template = f"""
            SELECT {self._shown("target")}, source.{start} > target.{start} AS later
            FROM {{source}} AS source JOIN {{target}} AS target ON target.{key} = source.{key}"""  # noqa: S608 (columns are quoted)
        before, new = {table.name: places_of(self.change.row)}, {table.name: self.change.new}
        slots = {"source": (table, BASE), "target": (table, BASE)}
        await measurement(self.making, self.family, before, new).ask(template, slots, found.append)
        late = [batch.column(batch.num_columns - 1).fill_null(fill_value=False) for batch in found]
        early = [batch.column(0).filter(pc.invert(later)) for batch, later in zip(found, late, strict=True)]
        if any(map(len, early)):
            raise not_later(table, versions, keys_from([min(pc.min(keys).as_py() for keys in early if len(keys))])[0])
        return found

    async def _moving(self, ending: Ending | None) -> list[pa.RecordBatch]:
        """Return the same of rows that are followed in other chunks."""
        found: list[pa.RecordBatch] = []
        if ending is not None:
            template, table = f"SELECT {self._shown('source')} FROM {{source}} AS source", self.change.table  # noqa: S608 (as above)
            places = {table.name: ending.places}
            await measurement(self.making, self.family, places).ask(template, {"source": (table, BASE)}, found.append)
        return found

    def _shown(self, slot: str) -> str:
        key, ra, dec = (slot_safe(name) for name in (self.change.table.director_key, self.change.table.ra, self.change.table.dec))
        return f"CAST({slot}.{key} AS bigint) AS {key}, {slot}.{ra} AS {ra}, {slot}.{dec} AS {dec}"

    async def _ended(self, rows: Mapping[ChunkId, int]) -> NewSegment:
        """Make a segment of the table of former versions, of so many rows of chunks."""
        making, row, history = self.making, self.change.row, self.ended.table
        known, declared = segments_of(row), table_to_json(self.change.table)
        async with changing(making.engine, "ingest.append.end_versions") as connection:
            number = await begin_segment(connection, self.family, self.ended.row)

        async def made(chunk: ChunkId) -> tuple[ChunkRecord, list[StatisticsRecord]]:
            before = [segment.number for segment in known[chunk] if segment.row_count]
            action = EndVersions(row.database, declared, chunk, before, self.sent.number, number)
            nodes = row.replicas[chunk]
            built = await all_or_first_error(making.nodes.call(node, partial(_end, action=action)) for node in nodes)
            if any(each.rows != rows[chunk] for each in built):
                found = [each.rows for each in built]
                msg = f"table {history.name}, chunk {chunk}: {rows[chunk]} rows ended, and its nodes have {found}"
                raise IngestError(msg)
            statistics = [StatisticsRecord(chunk, *column) for column in built[0].statistics]
            return ChunkRecord(chunk, built[0].rows, 0, nodes), statistics

        found = []
        chunks = sorted(rows)
        for first in range(0, len(chunks), AT_A_TIME):
            found += await all_or_first_error(made(chunk) for chunk in chunks[first : first + AT_A_TIME])
        ranges = tuple(range_ for _, listed in found for range_ in listed)
        return NewSegment(number, BuiltTable(tuple(record for record, _ in found), ranges, {}))


def _end(client: WorkerClient, action: EndVersions) -> BuiltChunk:
    return client.end_versions(action)

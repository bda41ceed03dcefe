"""Former versions of rows, when those that follow them are taken back: they are the last ones again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ingest.building import BuiltTable
from ingest.chunking import ChunkedRows, copies
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.places import BASE, Place
from ingest.references import Measurement, slot_safe
from ingest.sending import Sender
from ingest.sorting import Gathered
from qserv.ids import ChunkId
from qserv.metadata import segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.engine import changing
from qserv.metadata.segments import BuildKind
from schema.model import Table, Versions
from schema.types import row_schema

RUN_BYTES = 128_000_000
"""Size of a run in memory."""


@dataclass(frozen=True)
class Restoring:
    """Rows of a table of former versions that go back to their director, ``table``, as a segment of it.

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
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, versions: Versions) -> tuple[int, BuiltTable]:
        """Make the segment, with the copies for the overlap of other chunks; return its number, which does not count."""
        making, schema = self.making, row_schema(self.table)
        sender = Sender(making.nodes, making.load.transaction_id, self.row.table_id, schema, making.placement_of(self.table))
        gathered, loop, rows = Gathered(schema, RUN_BYTES), asyncio.get_running_loop(), [0]

        async def send() -> None:
            number = await making.load.new_run(self.row.table_id)
            await sender.send(number, await asyncio.to_thread(gathered.take))
            await making.load.take(number, (), None)

        async def add(batch: pa.RecordBatch) -> None:
            async with self._lock:
                gathered.add(await self._placed(batch))
                rows.append(batch.num_rows)
                if gathered.full:
                    await send()

        shown = (
            f"NULLIF(source.{name}, source.{name}) AS {name}" if name == slot_safe(versions.end) else f"source.{name}"
            for name in map(slot_safe, schema.names)
        )
        template = f"SELECT {', '.join(shown)} FROM {{source}} AS source"  # noqa: S608 (columns are quoted, slots are quoted relations)
        places = {self.history.name: self.ended}
        measurement = Measurement(making.engine, making.nodes, self.family.database, making.staging, places, places)
        slots = {"source": (self.history, BASE)}
        await measurement.ask(template, slots, lambda batch: asyncio.run_coroutine_threadsafe(add(batch), loop).result())
        while not gathered.empty:
            await send()
        async with changing(making.engine, "ingest.withdraw.restore") as connection:
            segment = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        return segment, await making.built(self.table, self.row.table_id, sum(rows), segment=segment)

    async def _placed(self, batch: pa.RecordBatch) -> ChunkedRows:
        """Return rows with the chunks of their keys, and copies."""
        directors = Directors(self.making.engine, self.making.staging)
        (rows,) = pa.Table.from_batches([batch]).cast(row_schema(self.table)).combine_chunks().to_batches()
        homes, _ = await directors.find(self.table.name, rows.column(str(self.table.director_key)))
        ra, dec = (rows.column(str(name)).to_numpy(zero_copy_only=False) for name in (self.table.ra, self.table.dec))
        copied, there = copies(ra, dec, homes, self.family.chunk_map, self.family.overlap_deg)
        return ChunkedRows(rows, homes, rows.take(pa.array(copied)), there)

"""Rows that nodes have, read and sent to the nodes of the chunks where they belong from now on, to become a segment there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pyarrow as pa

from ingest.building import BuiltTable
from ingest.chunking import ChunkedRows
from ingest.making import Making
from ingest.places import BASE
from ingest.references import Measurement, slot_safe
from ingest.sending import Sender
from ingest.sorting import Gathered
from schema.model import Table
from schema.types import row_schema

RUN_BYTES = 80 * 1024 * 1024
"""Size of a run in memory."""

Placed = Callable[[pa.RecordBatch], Awaitable[ChunkedRows]]
"""Rows of a node -> rows of the table, with their chunks, and copies for others."""


class Regrouping:
    """Gathers rows of a table.

    Their runs are of this attempt alone: another one has runs of its own, and all go with the transaction.
    """

    def __init__(self, making: Making, table: Table, table_id: int) -> None:
        schema = row_schema(table)
        self._making, self._table, self._table_id = making, table, table_id
        self._sender = Sender(making.nodes, making.load.transaction_id, table_id, schema, making.placement_of(table))
        self._gathered, self._lock, self._runs = Gathered(schema, RUN_BYTES), asyncio.Lock(), list[int]()
        self.rows = 0
        """How many there are, copies not counted."""

    async def read(self, measurement: Measurement, source: Table, columns: Sequence[str], placed: Placed) -> None:
        """Read columns of the rows of a table that are measured, and give each its place."""
        loop = asyncio.get_running_loop()

        async def add(batch: pa.RecordBatch) -> None:
            async with self._lock:
                self._gathered.add(await placed(batch))
                self.rows += batch.num_rows
                if self._gathered.full:
                    await self._send()

        shown = ", ".join(f"source.{slot_safe(name)}" for name in columns)
        template = f"SELECT {shown} FROM {{source}} AS source"  # noqa: S608 (columns are quoted, slots are quoted relations)
        slots = {"source": (source, BASE)}
        await measurement.ask(template, slots, lambda batch: asyncio.run_coroutine_threadsafe(add(batch), loop).result())

    async def made(self, segment: int) -> BuiltTable:
        """Let the nodes make a segment of all that was read; it does not count."""
        while not self._gathered.empty:
            await self._send()
        return await self._making.made_of(self._runs, self._table, self._table_id, self.rows, segment)

    async def _send(self) -> None:
        number = await self._making.load.new_run(self._table_id)
        await self._sender.send(number, await asyncio.to_thread(self._gathered.take().sort))
        self._runs.append(number)

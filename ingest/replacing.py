"""New versions of a dependent's rows, when they are committed: those that they follow go to the table of former versions.

The director of a row may be another one than that of the row before, which then is in another chunk. Where rows of new keys may
be say the ranges of the keys in each chunk: of keys that grow with time, as those of detections do, no chunk has any.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ingest.building import NewSegment
from ingest.chunking import ChunkedRows
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.newer import Keys, Newer, among, measurement
from ingest.places import Place, places_of
from ingest.regrouping import Regrouping
from ingest.table_change import Change, Leaving, begin_segment
from qserv.ids import ChunkId
from qserv.metadata.engine import changing, connect
from qserv.metadata.measured import integer_ranges
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Versions
from schema.physical import quote
from schema.types import row_schema

KEYS_AT_A_TIME = 300_000
"""Keys that nodes are asked for at a time, as text: 6 MB."""

AsFormer = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Rows of a table -> those of its history."""


@dataclass(frozen=True)
class Replacing:
    """The rows of a dependent that new ones, which nodes have already, follow.

    Attributes
    ----------
    ended
        What becomes of the history.
    """

    making: Making
    family: Family
    change: Change
    sent: NewSegment
    ended: Change

    async def run(self, versions: Versions) -> None:
        """Write the chunks of these rows anew without them, and make a segment of the history of them, and of new withdrawn ones.

        Raises
        ------
        IngestError
            A row begins before the one that it follows, or two new ones have one key.
        """
        making, table, history = self.making, self.change.table, self.ended.table
        newer = await Newer.read(making, self.family, table, versions, self.sent.places(self.change.row))
        gathered, schema = Regrouping(making, history, self.ended.row.table_id), row_schema(history)

        def ended(rows: pa.RecordBatch) -> pa.RecordBatch:
            return newer.ended(rows, schema)

        def withdrawn(rows: pa.RecordBatch) -> pa.RecordBatch:
            columns = {name: rows.column(name) for name in rows.schema.names} | {ENDED_COLUMN: rows.column(CONTRIBUTION_COLUMN)}
            return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)

        before = Leaving(self.change, self.family, table.version_key, (self.sent.number,))
        async for places in self._places(newer):
            await self._gather(before, gathered, ended, places)
        if before:
            async with changing(making.engine, "ingest.append.replace") as connection:
                number = await begin_segment(connection, self.family, self.change.row)
            await before.written(making, number)
        hidden = Leaving(self.change, self.family, table.version_key)
        if versions.withdrawn is not None and newer.withdrawn.any():
            gone = f"rows.{quote(versions.withdrawn)} IS NOT NULL"
            await self._gather(hidden, gathered, withdrawn, {chunk: self._where(chunk, gone) for chunk in self.sent.segments})
        if hidden:
            async with changing(making.engine, "ingest.append.hide") as connection:
                number = await begin_segment(connection, self.family, self.change.row)
            await hidden.written(making, number)
            hidden.shift(newer.contribution_id)
        if gathered.rows:
            async with changing(making.engine, "ingest.append.former") as connection:
                number = await begin_segment(connection, self.family, self.ended.row)
            self.ended.send(NewSegment(number, await gathered.made(number)))

    def _where(self, chunk: ChunkId, condition: str) -> Place:
        """Return where rows of a chunk are of which a condition holds."""
        place = self.change.place(chunk)
        return replace(place, base=f"(SELECT * FROM {place.base} AS rows WHERE {condition})")  # noqa: S608 (a quoted name)

    async def _gather(self, leaving: Leaving, gathered: Regrouping, as_former: AsFormer, places: Mapping[ChunkId, Place]) -> None:
        """Read rows that leave the table for the history, where they stay in their chunks."""
        making, table, names = self.making, self.change.table, row_schema(self.change.table).names
        ((director, key),) = table.directors

        async def placed(batch: pa.RecordBatch) -> ChunkedRows:
            homes, _ = await Directors(making.engine, making.staging).find(director, batch.column(key))
            leaving.add(batch, homes)
            rows = as_former(batch)
            return ChunkedRows(rows, homes, rows.slice(0, 0), np.empty(0, np.int64))

        await gathered.read(measurement(making, self.family, {table.name: places}), table, names, placed)

    async def _places(self, newer: Newer) -> AsyncIterator[dict[ChunkId, Place]]:
        """Yield where rows of before are that may have keys of new ones, with so many keys at a time."""
        names, some, count = self.change.table.version_key, dict[ChunkId, Place](), 0
        async with connect(self.making.engine) as connection:
            ranges = [await integer_ranges(connection, self.change.row.table_id, name) for name in names]
        for chunk, place in places_of(self.change.row).items():
            keys = _within(newer.keys, [of_column.get(chunk) for of_column in ranges])
            for start in range(0, len(keys) if place.rows else 0, KEYS_AT_A_TIME):
                part = keys[start : start + KEYS_AT_A_TIME]
                if chunk in some or count + len(part) > KEYS_AT_A_TIME:
                    yield some
                    some, count = {}, 0
                some[chunk], count = among(place, names, part), count + len(part)
        if some:
            yield some


def _within(keys: Keys, ranges: list[tuple[int, int] | None]) -> Keys:
    """Return those of some keys, which are ascending, that are within ranges of their columns; None is one that is not known."""
    columns, (first, *others) = keys.dtype.names or (), ranges
    if first is not None:
        start, end = np.searchsorted(keys[columns[0]], first[0], "left"), np.searchsorted(keys[columns[0]], first[1], "right")
        keys = keys[start:end]
    for name, range_ in zip(columns[1:], others, strict=True):
        if range_ is not None:
            keys = keys[(keys[name] >= range_[0]) & (keys[name] <= range_[1])]
    return keys

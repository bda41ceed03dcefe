"""New versions of a dependent's rows, when they are committed: those that they follow go to the table of former versions.

The director of a row may be another one than that of the row before, which then is in another chunk. Where rows of new keys may
be say the ranges of the keys in each chunk: of keys that grow with time, as those of detections do, no chunk has any.
"""

from dataclasses import dataclass

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
from schema.model import ENDED_COLUMN, Versions
from schema.types import row_schema


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
        """Write the chunks of these rows anew without them, and make a segment of the history of them.

        Raises
        ------
        IngestError
            A row begins before the one that it follows, or two new ones have one key.
        """
        making, table, history = self.making, self.change.table, self.ended.table
        newer = await Newer.read(making, self.family, table, versions, self.sent.places(self.change.row))
        places = await self._places(newer)
        leaving = Leaving(self.change, self.family, table.version_key, (self.sent.number,))
        gathered, schema = Regrouping(making, history, self.ended.row.table_id), row_schema(history)
        ((director, key),) = table.directors

        async def ended(batch: pa.RecordBatch) -> ChunkedRows:
            homes, _ = await Directors(making.engine, making.staging).find(director, batch.column(key))
            leaving.add(batch, homes)
            rows = newer.ended(batch, schema)
            return ChunkedRows(rows, homes, rows.slice(0, 0), np.empty(0, np.int64))

        names = [name for name in schema.names if name != ENDED_COLUMN]
        await gathered.read(measurement(making, self.family, {table.name: places}), table, names, ended)
        if not leaving:
            return
        async with changing(making.engine, "ingest.append.replace") as connection:
            number, ends = [await begin_segment(connection, self.family, each.row) for each in (self.change, self.ended)]
        await leaving.written(making, number)
        self.ended.send(NewSegment(ends, await gathered.made(ends)))

    async def _places(self, newer: Newer) -> dict[ChunkId, Place]:
        """Return where rows of before are that may have keys of new ones."""
        names, found = self.change.table.version_key, {}
        async with connect(self.making.engine) as connection:
            ranges = [await integer_ranges(connection, self.change.row.table_id, name) for name in names]
        for chunk, place in places_of(self.change.row).items():
            if place.rows:
                keys = _within(newer.keys, [of_column.get(chunk) for of_column in ranges])
                if len(keys):
                    found[chunk] = among(place, names, keys)
        return found


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

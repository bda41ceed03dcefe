"""The rows of a chunk as tables have them: segments that are to become one, or rows that newer ones follow."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from qserv.ids import ChunkId
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, HEALPIX_COLUMN, Table, Versions
from schema.physical import column_list, is_among, quote, relation, together
from schema.types import row_schema
from workers.postgresql.reads import Reads
from workers.protocol import Lane
from workers.stop import Stop

READ_S: Final = 6 * 3600.0
"""A chunk is read in seconds; one that takes so long never ends."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of one part of a chunk, or of a replicated table, in tables of their own each.

    Attributes
    ----------
    segments
        Numbers of those that have rows.
    without
        Integers, by columns: no row has those that stand together in the lists of one of these, unless its segment is ``fresh``.
    lane
        In which they are read: that of look-ups where a commit waits for them.
    """

    database: str
    table: Table
    chunk: ChunkId | None
    segments: Sequence[int]
    overlap: bool
    reads: Reads
    without: Sequence[Mapping[str, Sequence[int]]] = ()
    fresh: Sequence[int] = ()
    lane: Lane = Lane.INTERACTIVE

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        return row_schema(self.table)

    def has(self, _chunk: ChunkId) -> bool:
        """Whether there are rows."""
        return bool(self.segments)

    def read(self, _chunk: ChunkId, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in ``_healpix_29`` order, which is the same whatever columns are asked for where a key is unique."""
        if not self.segments:
            return
        names = {
            segment: relation(self.database, self.table.name, self.chunk, overlap=self.overlap, segment=segment)
            for segment in self.segments
        }
        parts = [name if segment in self.fresh else self._remaining(name) for segment, name in names.items()]
        wanted = columns or self.schema.names
        read = column_list(dict.fromkeys((*wanted, *self._key)))
        order = f" ORDER BY {', '.join(self._order)}" if self._order else ""
        sql = f"SELECT {column_list(wanted)} FROM {together(parts, read)} AS rows{order}"  # noqa: S608 (quoted names)
        yield from _answer(self.reads, sql, list(names.values()), self.lane)

    def _remaining(self, name: str) -> str:
        """Return what stands in a FROM for the rows of a segment that are not left out."""
        if not self.without:
            return name
        stays = " AND ".join(map(_is_none_of, self.without))
        return f"(SELECT * FROM {name} AS rows WHERE {stays})"  # noqa: S608 (as above)

    @property
    def _key(self) -> tuple[str, ...]:
        """Columns by which rows are in order."""
        key = self.table.primary_key or ((self.table.director_key,) if self.table.director_key else ())
        return (HEALPIX_COLUMN, *key) if self.table.partitioned else key

    @property
    def _order(self) -> list[str]:
        return [f"{quote(name)} NULLS FIRST" if name == HEALPIX_COLUMN else quote(name) for name in self._key]


@dataclass(frozen=True)
class EndedRows:
    """Rows of a chunk of a director whose keys rows of a newer segment have, as rows of the table of former versions."""

    database: str
    table: Table
    history: Table
    versions: Versions
    chunk: ChunkId
    before: Sequence[int]
    newer: int
    reads: Reads

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        return row_schema(self.history)

    def has(self, _chunk: ChunkId) -> bool:
        """Whether there are rows."""
        return True

    def read(self, _chunk: ChunkId, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in ``_healpix_29`` order, those of a pixel by their keys; they end when the newer ones begin."""
        names = [relation(self.database, self.table.name, self.chunk, segment=segment) for segment in (*self.before, self.newer)]
        own, wanted = str(self.table.director_key), columns or self.schema.names
        key, newer = quote(own), {self.versions.end: self.versions.start, ENDED_COLUMN: CONTRIBUTION_COLUMN}
        shown = (f"newer.{quote(newer[name])} AS {quote(name)}" if name in newer else f"rows.{quote(name)}" for name in wanted)
        read = column_list(dict.fromkeys((*(name for name in wanted if name not in newer), HEALPIX_COLUMN, own)))
        sql = (
            f"SELECT {', '.join(shown)} FROM {together(names[:-1], read)} AS rows "  # noqa: S608 (quoted names)
            f"JOIN {names[-1]} AS newer ON newer.{key} = rows.{key} ORDER BY rows.{quote(HEALPIX_COLUMN)} NULLS FIRST, rows.{key}"
        )
        yield from _answer(self.reads, sql, names, Lane.INTERACTIVE)


def _is_none_of(listed: Mapping[str, Sequence[int]]) -> str:
    """Return the condition that a row has, in some columns, no integers that stand together in their lists."""
    among = is_among(list(listed), list(listed.values()), "rows")
    # A NULL is not among them; of several columns, NOT is an anti-join.
    return f"({among}) IS NOT TRUE" if len(listed) == 1 else f"NOT {among}"


def _answer(reads: Reads, sql: str, names: Sequence[str], lane: Lane) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query over some tables."""
    answer = reads.ask(sql, list(names), time.monotonic() + READ_S, Stop(), lane)
    try:
        answer.begin()
        for batch, _ in answer.batches():
            if batch.num_rows:
                yield batch
    finally:
        answer.close()

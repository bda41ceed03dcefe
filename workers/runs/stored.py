"""The rows of a chunk as tables have them: segments that are to become one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from qserv.ids import ChunkId
from schema.model import HEALPIX_COLUMN, Table
from schema.physical import quote, relation, together
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
        Integers, by the column which must not have one of them in a row.
    """

    database: str
    table: Table
    chunk: ChunkId | None
    segments: Sequence[int]
    overlap: bool
    reads: Reads
    without: Mapping[str, Sequence[int]] = field(default_factory=dict)

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
        names = [
            relation(self.database, self.table.name, self.chunk, overlap=self.overlap, segment=segment) for segment in self.segments
        ]
        listed = ", ".join(map(quote, columns or self.schema.names))
        sql = f"SELECT {listed} FROM {together(names)} AS rows{self._where}{self._order}"  # noqa: S608 (quoted names)
        answer = self.reads.ask(sql, names, time.monotonic() + READ_S, Stop(), Lane.SCAN)
        try:
            answer.begin()
            for batch, _ in answer.batches():
                if batch.num_rows:
                    yield batch
        finally:
            answer.close()

    @property
    def _where(self) -> str:
        lists = {name: ",".join(str(int(number)) for number in numbers) for name, numbers in self.without.items()}
        terms = [f"({quote(name)} = ANY(CAST('{{{numbers}}}' AS bigint[]))) IS NOT TRUE" for name, numbers in lists.items()]
        return f" WHERE {' AND '.join(terms)}" if terms else ""

    @property
    def _order(self) -> str:
        key = self.table.primary_key or ((self.table.director_key,) if self.table.director_key else ())
        pixel = [f"{quote(HEALPIX_COLUMN)} NULLS FIRST"] if self.table.partitioned else []
        order = [*pixel, *map(quote, key)]
        return f" ORDER BY {', '.join(order)}" if order else ""

"""The state of the rows that a query sees, used for all its chunks, steps and retries (DESIGN, section 7)."""

from dataclasses import dataclass

from czar.catalogue import TableEntry
from qserv.ids import ChunkId
from schema.physical import relation


@dataclass(frozen=True)
class Snapshot:
    """One commit sequence of a family. Published databases are read-only so far, so there is only sequence 0."""

    sequence: int = 0

    def relation(self, entry: TableEntry, chunk: int, *, overlap: bool = False) -> str:
        """Return the quoted physical relation that holds a table's rows in a chunk.

        The empty prototype stands in where the table has no rows there, so that a chunk query is valid for every chunk.
        """
        if not entry.table.partitioned:
            return relation(entry.database, entry.table.name, None)
        exists = entry.has_overlap(chunk) if overlap else entry.has_base(chunk)
        return relation(entry.database, entry.table.name, ChunkId(chunk) if exists else None, overlap=overlap and exists)

"""The state of the rows that a query sees, used for all its chunks, steps and retries (DESIGN, section 7)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czar.catalogue import TableEntry
from schema.physical import chunk_relations, relation


@dataclass(frozen=True)
class Snapshot:
    """One commit sequence of a family. Published databases are read-only so far, so there is only sequence 0."""

    sequence: int = 0

    def relation(self, entry: TableEntry, chunk: int, *, overlap: bool = False) -> str:
        """Return the quoted physical relation that holds a table's rows in a chunk."""
        return self.relations(entry, np.array([chunk], dtype=np.int64), overlap=overlap)[0]

    def relations(self, entry: TableEntry, chunks: NDArray[np.int64], *, overlap: bool = False) -> list[str]:
        """Return the quoted physical relations that hold a table's rows, one for each chunk, in the order given.

        The empty prototype stands in where the table has no rows there, so that a chunk query is valid for every chunk.
        """
        prototype = relation(entry.database, entry.table.name, None)
        if not entry.table.partitioned:
            return [prototype] * len(chunks)
        found = chunk_relations(entry.database, entry.table.name, chunks.tolist(), overlap=overlap)
        for place in np.flatnonzero(~entry.has_rows(chunks, overlap=overlap)).tolist():
            found[place] = prototype
        return found

"""The state of the rows that a query sees, used for all its chunks, steps and retries (DESIGN, section 7).

It is that of the catalogue with which the query is planned: what names the rows of a chunk there never changes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czar.catalogue import TableEntry
from qserv.ids import REPLICATED_CHUNK, ChunkId
from schema.physical import chunk_relations, relation, rows_of_chunk, together


@dataclass(frozen=True)
class Snapshot:
    """The physical tables of chunks."""

    def relations(self, entry: TableEntry, chunks: NDArray[np.int64], columns: str, *, overlap: bool = False) -> list[str]:
        """Return the quoted physical relations that hold a table's rows, one for each chunk, in the order given.

        The empty prototype stands in where the table has no rows there, so that a chunk query is valid for every chunk.

        Parameters
        ----------
        columns
            Those that are read, as a statement lists them.
        """
        name = (entry.database, entry.table.name)
        prototype = relation(*name, None)
        if not entry.table.partitioned:
            whole = entry.segments.get(REPLICATED_CHUNK)
            return [together(rows_of_chunk(*name, None, whole), columns) if whole else prototype] * len(chunks)
        found = chunk_relations(*name, chunks.tolist(), overlap=overlap)
        for place in np.flatnonzero(~entry.has_rows(chunks, overlap=overlap)).tolist():
            found[place] = prototype
        for place in np.flatnonzero(np.isin(chunks, list(entry.segments))).tolist() if entry.segments else ():
            chunk = ChunkId(int(chunks[place]))
            found[place] = together(rows_of_chunk(*name, chunk, entry.segments[chunk], overlap=overlap), columns)
        return found

"""The column of the nearest neighbour of a director's rows, made when all rows of a chunk are together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.runs import Runs
from partitioner.nearest import REACH_DEG, ChunkNeighbours, Positions
from partitioner.sphere import Floats
from qserv.ids import ChunkId
from qserv.metadata.catalogue import Json
from schema.model import NEAREST, Table, TableRole
from schema.types import arrow_type

FACT = "nearest_deg"
"""Name of the fact, of a published table, that its rows have the column: up to this separation. Rows that are added without it, or
that take away neighbours which it tells of, must take the fact away."""


@dataclass(frozen=True)
class NearestColumn:
    """Adds the column to rows as they are read back.

    Attributes
    ----------
    table
        A director.
    base, overlap
        All its rows, and those of its overlap tables.
    """

    table: Table
    base: Runs
    overlap: Runs

    def added(self, chunk: ChunkId, rows: Runs) -> Iterator[pa.RecordBatch]:
        """Yield a chunk's rows of ``rows``, one of ``base`` and ``overlap``, with the column behind the others."""
        neighbours = ChunkNeighbours(self._positions(self.base, chunk), self._positions(self.overlap, chunk))
        separations = neighbours.of_base() if rows is self.base else neighbours.of_overlap()
        column = pa.array(separations, arrow_type(NEAREST), from_pandas=True)
        start = 0
        for batch in rows.read(chunk):
            yield batch.append_column(NEAREST.name, column.slice(start, batch.num_rows))
            start += batch.num_rows

    def _positions(self, rows: Runs, chunk: ChunkId) -> Positions:
        """Return the positions of a chunk's rows, in their order."""
        batches = list(rows.read(chunk, [str(self.table.ra), str(self.table.dec)]))
        return Positions(*(_values(batches, place) for place in (0, 1)))


def facts_of(table: Table, known: Json, *, loaded: bool) -> Json:
    """Return what is known of the column of a table: how far it reaches, if its rows have it.

    Parameters
    ----------
    known
        Facts of the table until now.
    loaded
        Whether its rows were just loaded. Those of before may have been loaded without the column.
    """
    reach = REACH_DEG if loaded and table.role is TableRole.DIRECTOR else known.get(FACT)
    return {} if reach is None else {FACT: reach}


def _values(batches: list[pa.RecordBatch], place: int) -> Floats:
    """Return the values of a column, NaN for NULL."""
    found: Floats = np.concatenate([np.empty(0), *(batch.column(place).to_numpy(zero_copy_only=False) for batch in batches)])
    return found

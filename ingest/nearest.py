"""The column of the nearest neighbour of a director's rows, made when all rows of a chunk are together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.runs import Runs
from partitioner.nearest import REACH_DEG, Positions, nearest_deg
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
    """Makes the column, when all rows of a chunk are together.

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

    def of_chunk(self, chunk: ChunkId) -> dict[str, pa.Array]:
        """Return the columns of both parts of a chunk, in the order of their rows."""
        base, overlap = nearest_deg(self._positions(self.base, chunk), self._positions(self.overlap, chunk))
        columns = {"base": base, "overlap": overlap}
        return {part: pa.array(column, arrow_type(NEAREST), from_pandas=True) for part, column in columns.items()}

    def _positions(self, rows: Runs, chunk: ChunkId) -> Positions:
        """Return the positions of a chunk's rows, in their order."""
        batches = list(rows.read(chunk, [str(self.table.ra), str(self.table.dec)]))
        return Positions(*(_values(batches, place) for place in (0, 1)))


def with_column(batches: Iterable[pa.RecordBatch], column: pa.Array) -> Iterator[pa.RecordBatch]:
    """Yield rows with the column behind the others."""
    start = 0
    for batch in batches:
        yield batch.append_column(NEAREST.name, column.slice(start, batch.num_rows))
        start += batch.num_rows


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

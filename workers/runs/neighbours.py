"""The columns about near neighbours of a director's rows, made when all rows of a chunk are together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from partitioner.friends import NONE, friends
from partitioner.nearest import REACH_DEG, Positions, nearest_deg
from partitioner.sphere import Floats
from qserv.ids import ChunkId
from schema.model import FRIENDS, NEAREST, Table
from schema.types import arrow_type
from workers.protocol import PARTS

COLUMNS = (FRIENDS, NEAREST)
"""The last ones of a director's physical tables."""

NEAREST_FACT = "nearest_deg"
"""Name of the fact, of a published table, that its rows tell of others up to this separation. Rows that are added without the
columns, or that take away neighbours which these tell of, must take it away, and `friends_deg` of their chunks."""


class Positioned(Protocol):
    """Rows of chunks, some columns of which can be read."""

    def read(self, chunk: ChunkId, columns: list[str] | None = None, /) -> Iterator[pa.RecordBatch]:
        """Yield a chunk's rows, in an order that is always the same."""


@dataclass(frozen=True)
class Neighbours:
    """The columns of a chunk.

    Attributes
    ----------
    columns
        Of both parts, in the order of their rows.
    nearest_deg, friends_deg
        Up to which separations the columns tell how near the nearest row is, and which rows are near; None where they do not.
    """

    columns: dict[str, list[pa.Array]]
    nearest_deg: float
    friends_deg: float | None


def neighbours_of(table: Table, base: Positioned, overlap: Positioned, chunk: ChunkId) -> Neighbours:
    """Return the columns of a chunk of a director, of all its rows, and of those of its overlap."""
    positions = [_positions(table, rows, chunk) for rows in (base, overlap)]
    nearest = nearest_deg(*positions)
    groups, linking_deg = friends(list(zip(positions, nearest, strict=True)))
    columns = {
        part: [pa.array(group, arrow_type(FRIENDS), mask=group == NONE), pa.array(near, arrow_type(NEAREST), from_pandas=True)]
        for part, near, group in zip(PARTS, nearest, groups, strict=True)
    }
    return Neighbours(columns, REACH_DEG, linking_deg)


def with_columns(batches: Iterable[pa.RecordBatch], columns: Sequence[pa.Array]) -> Iterator[pa.RecordBatch]:
    """Yield rows with the columns behind the others."""
    start = 0
    for batch in batches:
        rows = batch.num_rows
        for declared, column in zip(COLUMNS, columns, strict=True):
            batch = batch.append_column(declared.name, column.slice(start, rows))  # noqa: PLW2901 (the same rows)
        yield batch
        start += rows


def _positions(table: Table, rows: Positioned, chunk: ChunkId) -> Positions:
    """Return the positions of a chunk's rows, in their order."""
    batches = list(rows.read(chunk, [str(table.ra), str(table.dec)]))
    return Positions(*(_values(batches, place) for place in (0, 1)))


def _values(batches: list[pa.RecordBatch], place: int) -> Floats:
    """Return the values of a column, NaN for NULL."""
    found: Floats = np.concatenate([np.empty(0), *(batch.column(place).to_numpy(zero_copy_only=False) for batch in batches)])
    return found

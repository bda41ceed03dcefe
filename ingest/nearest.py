"""The columns about near neighbours of a director's rows, made when all rows of a chunk are together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ingest.runs import Runs
from partitioner.friends import NONE, friends
from partitioner.nearest import REACH_DEG, Positions, nearest_deg
from partitioner.sphere import Floats
from qserv.ids import ChunkId
from qserv.metadata.catalogue import Json
from schema.model import FRIENDS, NEAREST, Table
from schema.types import arrow_type

COLUMNS = (NEAREST, FRIENDS)
"""The last ones of a director's physical tables."""

FACT, FRIENDS_FACT = "nearest_deg", "friends_deg"
"""Names of the facts, of a published table, that its rows have the columns: up to these separations. Rows that are added without
them, or that take away neighbours which they tell of, must take the facts away."""


@dataclass(frozen=True)
class NeighbourColumns:
    """Makes the columns, when all rows of a chunk are together.

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
    _linking_deg: dict[ChunkId, float] = field(default_factory=dict)
    """Of each chunk that was asked for."""

    def of_chunk(self, chunk: ChunkId) -> dict[str, list[pa.Array]]:
        """Return the columns of both parts of a chunk, in the order of their rows."""
        base, overlap = self._positions(self.base, chunk), self._positions(self.overlap, chunk)
        nearest = nearest_deg(base, overlap)
        groups, self._linking_deg[chunk] = friends([(base, nearest[0]), (overlap, nearest[1])])
        return {
            part: [
                pa.array(near, arrow_type(NEAREST), from_pandas=True),
                pa.array(group, arrow_type(FRIENDS), mask=group == NONE),
            ]
            for part, near, group in zip(("base", "overlap"), nearest, groups, strict=True)
        }

    def facts(self) -> Json:
        """Return up to which separations, deg, the columns of all chunks tell how near the nearest row is, and which are near."""
        return {FACT: REACH_DEG, FRIENDS_FACT: min(self._linking_deg.values(), default=REACH_DEG)}

    def _positions(self, rows: Runs, chunk: ChunkId) -> Positions:
        """Return the positions of a chunk's rows, in their order."""
        batches = list(rows.read(chunk, [str(self.table.ra), str(self.table.dec)]))
        return Positions(*(_values(batches, place) for place in (0, 1)))


def with_columns(batches: Iterable[pa.RecordBatch], columns: Sequence[pa.Array]) -> Iterator[pa.RecordBatch]:
    """Yield rows with the columns behind the others."""
    start = 0
    for batch in batches:
        rows = batch.num_rows
        for declared, column in zip(COLUMNS, columns, strict=True):
            batch = batch.append_column(declared.name, column.slice(start, rows))  # noqa: PLW2901 (the same rows)
        yield batch
        start += rows


def facts_of(known: Json, loaded: Json | None) -> Json:
    """Return what is known of the columns of a table.

    Parameters
    ----------
    known
        Facts of the table until now.
    loaded
        What `NeighbourColumns.facts` says of its rows, where they were just loaded. Those of before may have been loaded without
        the columns.
    """
    facts = known if loaded is None else loaded
    return {name: facts[name] for name in (FACT, FRIENDS_FACT) if name in facts}


def _values(batches: list[pa.RecordBatch], place: int) -> Floats:
    """Return the values of a column, NaN for NULL."""
    found: Floats = np.concatenate([np.empty(0), *(batch.column(place).to_numpy(zero_copy_only=False) for batch in batches)])
    return found

"""The chunks of rows that hang on directors: by the director index, or by the director's position that a row carries."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.chunking import ChunkedRows, chunks_at, rows_at_home, whole_rows
from ingest.family import Family
from ingest.rows import Bools, Rows, SetAside, none_set_aside
from ingest.staging import Staging
from partitioner.healpix import Pixels
from qserv.ids import NULL_CHUNK
from qserv.metadata.catalogue import Json
from qserv.metadata.director_index import LOOKUP_KEYS, NOW, find_chunks
from qserv.metadata.engine import connect
from schema.model import Table

SHOWN_KEYS = 10
"""Keys of orphans that a report names: enough to see what they have in common."""

ORPHANS_FACT = "orphans"
"""Name of the fact of a table that says how many orphans it has, and in which chunks."""


@dataclass(frozen=True)
class Directors:
    """Where the rows of directors are, as the director index says."""

    engine: AsyncEngine
    staging: Staging

    async def find(self, director: str, keys: pa.Array, version: int = NOW) -> tuple[Pixels, Bools]:
        """Return the chunks of the rows of keys, shape (n,), and which keys there are; the chunk of others, and of NULL, is 0.

        Parameters
        ----------
        version
            Of the catalogue: where they were then.
        """
        wanted = np.unique(keys.drop_null().to_numpy())
        parts = [wanted[start : start + LOOKUP_KEYS] for start in range(0, len(wanted), LOOKUP_KEYS)]
        async with connect(self.engine) as connection:
            found = [await find_chunks(connection, self.staging.home(director), director, part, version) for part in parts]
        present, of_present = (np.concatenate([pair[side] for pair in found] or [np.empty(0, np.int64)]) for side in (0, 1))
        known: Bools = pc.is_in(keys, pa.array(present, keys.type)).to_numpy(zero_copy_only=False)
        chunks = np.full(len(keys), NULL_CHUNK, dtype=np.int64)
        chunks[known] = of_present[np.searchsorted(present, keys.filter(pa.array(known)).to_numpy())]
        return chunks, known


@dataclass(frozen=True)
class KeptOrphans:
    """Rows of a dependent that are kept though its director has no row of their key."""

    chunks: Counter[int] = field(default_factory=Counter)
    """How many there are in each chunk."""
    keys: list[int | None] = field(default_factory=list)
    """The first keys, each once; None is NULL."""

    def add(self, keys: pa.Array, chunks: Pixels) -> None:
        """Count rows."""
        self.chunks.update(dict(zip(*(each.tolist() for each in np.unique(chunks, return_counts=True)), strict=True)))
        if len(self.keys) < SHOWN_KEYS:
            self.keys[:] = dict.fromkeys([*self.keys, *keys.unique().to_pylist()[:SHOWN_KEYS]])
            del self.keys[SHOWN_KEYS:]

    def join(self, other: "KeptOrphans") -> None:
        """Count those that somebody else kept."""
        self.chunks.update(other.chunks)
        self.keys[:] = list(dict.fromkeys([*self.keys, *other.keys]))[:SHOWN_KEYS]

    @property
    def fact(self) -> Json:
        """What is known of the table by it."""
        rows = self.chunks.total()
        return {ORPHANS_FACT: {"rows": rows, "chunks": sorted(self.chunks)}} if rows else {}


@dataclass(frozen=True)
class Dependents:
    """Gives the rows of one dependent their chunks.

    Attributes
    ----------
    trusting
        Whether rows that carry their director's position are placed by it unseen by the director index: then nodes must say
        that each row has its director's row beside it.
    """

    table: Table
    family: Family
    directors: Directors
    trusting: bool
    orphans: KeptOrphans = field(default_factory=KeptOrphans)

    async def place(self, rows: Rows, set_aside: SetAside = none_set_aside) -> ChunkedRows:
        """Return rows with the chunks of their director's rows, orphans with those of their own positions.

        Raises
        ------
        BadRowError
            A row's director is not there, or lies elsewhere than the row says, or has no position while the row has one, and the
            row is not set aside.
        """
        table, count = self.table, rows.batch.num_rows
        ((director, name),) = table.directors
        lost, known = np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
        carried = chunks_at(rows.director_ra, rows.director_dec, self.family.chunk_map) if table.position_of_director else None
        if carried is not None and self.trusting:
            chunks = carried
        else:
            chunks, known = await self.directors.find(director, rows.batch.column(name))
            if carried is not None:
                _lose_misplaced(rows, table, known & (carried != chunks), set_aside, lost)
        if table.keeps_orphans:
            chunks[~known] = chunks_at(rows.ra[~known], rows.dec[~known], self.family.chunk_map)
            self.orphans.add(rows.batch.column(name).filter(pa.array(~known)), chunks[~known])
        else:
            lose(rows, ~known, name, f"table {director} has no row of this key", set_aside, lost)
        if len(rows.ra):
            # A region never leads to chunk 0: a row with a position would be lost there.
            apart = (chunks == NULL_CHUNK) & ~np.isnan(rows.ra) & ~lost
            lose(rows, apart, name, f"the row has a position, but that of its {director} is NULL", set_aside, lost)
        kept = rows.without(lost)
        if table.overlap:
            return rows_at_home(kept, chunks[~lost], self.family.chunk_map, self.family.overlap_deg)
        return whole_rows(kept, chunks[~lost])


async def place_pairs(rows: Rows, table: Table, directors: Directors, set_aside: SetAside = none_set_aside) -> ChunkedRows:
    """Return a ref-match table's rows with the chunks of their first director's rows, where each pair is at home.

    A pair whose second director's row lies in another chunk is in the overlap of that chunk too.

    Raises
    ------
    BadRowError
        A director has no row of one of the keys, and the row is not set aside.
    """
    lost, found = np.zeros(rows.batch.num_rows, dtype=np.bool_), []
    for director, name in table.directors:
        chunks, known = await directors.find(director, rows.batch.column(name))
        lose(rows, ~known & ~lost, name, f"table {director} has no row of this key", set_aside, lost)
        found.append(chunks)
    first, second = (chunks[~lost] for chunks in found)
    kept = rows.without(lost)
    parted = np.flatnonzero(first != second)
    return ChunkedRows(kept.batch, first, kept.batch.take(pa.array(parted)), second[parted])


def shown(rows: Rows, table: Table, set_aside: SetAside = none_set_aside) -> Rows:
    """Return rows of a table without those that are withdrawn, which a transaction that appends takes to the history.

    Raises
    ------
    BadRowError
        One is withdrawn, and is not set aside.
    """
    if table.versions is None or table.versions.withdrawn is None:
        return rows
    withdrawn = rows.batch.column(table.versions.withdrawn).is_valid().to_numpy(zero_copy_only=False)
    reason, lost = f"the row is withdrawn: it belongs into table {table.versions.history}", np.zeros(len(withdrawn), dtype=np.bool_)
    lose(rows, withdrawn, table.versions.withdrawn, reason, set_aside, lost)
    return rows.without(lost)


def lose(  # noqa: PLR0913, PLR0917 (which rows, why, what happens to them)
    rows: Rows, which: Bools, name: str, reason: str, set_aside: SetAside, lost: Bools
) -> None:
    """Set rows aside, and count them as lost."""
    for row in np.flatnonzero(which).tolist():
        set_aside(rows.origin.error(row, name, rows.batch.column(name)[row], reason))
    lost |= which


def _lose_misplaced(rows: Rows, table: Table, which: Bools, set_aside: SetAside, lost: Bools) -> None:
    """The same of rows whose director's row is not in the chunk of the position that they carry for it."""
    ((director, key),) = table.directors
    for row in np.flatnonzero(which).tolist():
        carried = pa.scalar(None if np.isnan(rows.director_ra[row]) else rows.director_ra[row], pa.float64())
        reason = f"this is not where the row of {director} is whose key is {rows.batch.column(key)[row]}: it lies in another chunk"
        set_aside(rows.origin.error(row, str(table.director_ra), carried, reason))
    lost |= which

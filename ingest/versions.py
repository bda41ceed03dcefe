"""Rows that follow others of the same key: they stay in the chunk of the first one, and end the one before."""

from dataclasses import dataclass

import numpy as np

from ingest.chunking import ChunkedRows, chunks_at, rows_at_home
from ingest.dependents import Directors, lose
from ingest.family import Family
from ingest.rows import Bools, Rows, SetAside, none_set_aside
from partitioner.healpix import Pixels, pixel_of
from partitioner.overlap import overlap_chunks
from partitioner.sphere import Floats
from schema.model import Table, Versions

EXCESS = 1.02
"""By more than `partitioner.overlap` takes a radius too large."""


@dataclass(frozen=True)
class Following:
    """Gives rows of a director their chunks: where the row of their key is, or else where their position is."""

    table: Table
    versions: Versions
    family: Family
    directors: Directors

    async def place(self, rows: Rows, set_aside: SetAside = none_set_aside) -> ChunkedRows:
        """Return rows with their chunks, and copies for the overlap of others.

        A row that is farther outside of the chunk of those before than the schema allows is at home where its position is: all
        that hangs on it moves there when it is committed (`ingest.moving`).

        Raises
        ------
        BadRowError
            A row has no position, while one before it has, and is not set aside.
        """
        chunks, known = await self.directors.find(self.table.name, rows.batch.column(str(self.table.director_key)))
        own, lost = chunks_at(rows.ra, rows.dec, self.family.chunk_map), np.zeros(len(chunks), dtype=np.bool_)
        chunks[~known] = own[~known]
        away = known & (chunks != own)
        # Without a position it is in chunk 0 from the beginning: how far its dependents are from it is not known elsewhere.
        reason = f"the row has no position, and those before it in table {self.table.name} have one"
        lose(rows, away & np.isnan(rows.ra), str(self.table.ra), reason, set_aside, lost)
        moved = np.flatnonzero(away & ~lost)
        far = moved[~self._near(rows.ra[moved], rows.dec[moved], chunks[moved])]
        chunks[far] = own[far]
        return rows_at_home(rows.without(lost), chunks[~lost], self.family.chunk_map, self.family.overlap_deg)

    def _near(self, ra: Floats, dec: Floats, chunks: Pixels) -> Bools:
        """Return whether positions lie near enough to chunks, outside of which they are."""
        margin_deg = self.versions.margin_deg / EXCESS
        near, neighbours = overlap_chunks(ra, dec, pixel_of(ra, dec), self.family.chunk_map, margin_deg)
        found = np.zeros(len(ra), dtype=np.bool_)
        found[near[neighbours == chunks[near]]] = True
        return found

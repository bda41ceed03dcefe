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

        Raises
        ------
        BadRowError
            A position is farther outside of its chunk than the schema allows, and the row is not set aside.
        """
        chunks, known = await self.directors.find(self.table.name, rows.batch.column(str(self.table.director_key)))
        own, lost = chunks_at(rows.ra, rows.dec, self.family.chunk_map), np.zeros(len(chunks), dtype=np.bool_)
        chunks[~known] = own[~known]
        moved = known & (chunks != own) & ~np.isnan(rows.ra)
        # Without a position it is in chunk 0 from the beginning: how far its dependents are from it is not known elsewhere.
        beyond = known & (chunks != own) & np.isnan(rows.ra)
        beyond[moved] = ~self._near(rows.ra[moved], rows.dec[moved], chunks[moved])
        reason = (
            f"the row lies farther outside of the chunk of those before it than margin_arcsec of table {self.table.name} allows"
        )
        lose(rows, beyond, str(self.table.ra), reason, set_aside, lost)
        return rows_at_home(rows.without(lost), chunks[~lost], self.family.chunk_map, self.family.overlap_deg)

    def _near(self, ra: Floats, dec: Floats, chunks: Pixels) -> Bools:
        """Return whether positions lie near enough to chunks, outside of which they are."""
        margin_deg = self.versions.margin_deg / EXCESS
        near, neighbours = overlap_chunks(ra, dec, pixel_of(ra, dec), self.family.chunk_map, margin_deg)
        found = np.zeros(len(ra), dtype=np.bool_)
        found[near[neighbours == chunks[near]]] = True
        return found

"""The family that a load goes into: its chunk map, made with its first partitioned table and kept from then on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.chunking import finest_order, make_chunk_map
from ingest.inputs import Input
from ingest.report import ProgressCallback
from ingest.rows import SetAside, none_set_aside
from ingest.staging import Staging
from partitioner.chunkmap import ChunkMap
from qserv.errors import IngestError
from qserv.ids import ChunkId
from qserv.metadata.catalogue import FamilyRow
from qserv.metadata.engine import connect
from qserv.metadata.registration import family_is_cut, read_family
from schema.model import Database, TableRole


@dataclass(frozen=True)
class Family:
    """A chunk map and an overlap radius. ``database`` is the one of the family's databases that is loaded."""

    database: Database
    chunk_map: ChunkMap

    @property
    def name(self) -> str:
        """Name of the family."""
        return self.database.family

    @property
    def overlap_deg(self) -> float:
        """Overlap radius, deg."""
        return self.database.overlap_deg

    @property
    def row(self) -> FamilyRow:
        """The family as the metadata database keeps it."""
        return FamilyRow(self.name, self.overlap_deg, tuple(map(ChunkId, self.chunk_map.nuniq.tolist())))


async def open_family(  # noqa: PLR0913 (what is cut, by which rows, how finely, and what does not count)
    engine: AsyncEngine,
    database: Database,
    inputs: Sequence[Input],
    target_rows: int,
    progress: ProgressCallback,
    *,
    staging: Staging,
    set_aside: SetAside = none_set_aside,
    order: int | None = None,
) -> Family:
    """Return the family of a database, with the chunk map that it has, or one made for the directors of this load.

    A family whose partitioned tables are all replaced gets a new one.

    Parameters
    ----------
    order
        HEALPix order of all chunks of a new map; default: finer where the directors' rows are dense.

    Raises
    ------
    IngestError
        The family has another overlap radius, or chunks of that order would be too narrow for it.
    """
    async with connect(engine) as connection:
        cut = await family_is_cut(connection, database.family, (staging.database, tuple(staging.replaced)))
        known = await read_family(connection, database.family) if cut else None
    if known is not None:
        if known.overlap_deg != database.overlap_deg:
            msg = (
                f"family {database.family!r} has an overlap of {known.overlap_deg} degrees, database {database.name!r} asks for "
                f"{database.overlap_deg}; give it the same, or a family of its own"
            )
            raise IngestError(msg)
        return Family(database, ChunkMap.from_nuniq(known.chunks))
    if order is not None:
        if order > (finest := finest_order(database.overlap_deg)):
            msg = f"chunks of order {order} are too narrow for an overlap of {database.overlap_deg} degrees: {finest} at the most"
            raise IngestError(msg)
        return Family(database, ChunkMap.uniform(order))
    directors = [source for source in inputs if source.table.role is TableRole.DIRECTOR]
    if not directors:
        # Nothing is cut yet; the first director makes the map anew.
        return Family(database, ChunkMap.uniform(0))
    return Family(
        database, await asyncio.to_thread(make_chunk_map, directors, target_rows, database.overlap_deg, progress, set_aside)
    )

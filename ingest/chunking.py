"""The chunk map of a family, and the chunks of rows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.inputs import Input
from ingest.report import Progress, ProgressCallback, Stage
from ingest.rows import Bools, Rows, SetAside, none_set_aside, read_positions
from ingest.staging import Staging
from partitioner.chunkmap import ChunkMap, Histogram
from partitioner.healpix import Pixels, pixel_of
from partitioner.overlap import overlap_chunks
from qserv.ids import NULL_CHUNK
from qserv.metadata.director_index import LOOKUP_KEYS, find_chunks
from qserv.metadata.engine import connect
from schema.model import HEALPIX_COLUMN, Table

HISTOGRAM_ORDER = 8
"""Finest order of a chunk of an adaptive map: 786,432 pixels of 0.23 degrees, which is many more chunks than a cluster can hold."""

PIXEL_SIDE_DEG = 58.6
"""Side of a HEALPix pixel of order 0; each order halves it (Gorski et al. 2005)."""

SIDES_PER_OVERLAP = 4
"""A chunk is at least this many overlap radii wide: at 4, overlap more than doubles the rows, and narrower ones get worse fast."""


@dataclass(frozen=True)
class ChunkedRows:
    """Rows with the chunk of each; and rows for the overlap tables, with the chunk that each is a neighbour of."""

    batch: pa.RecordBatch
    chunks: Pixels
    overlap: pa.RecordBatch
    overlap_chunks: Pixels


def make_chunk_map(
    directors: Iterable[Input],
    target_rows: int,
    overlap_deg: float,
    progress: ProgressCallback,
    set_aside: SetAside = none_set_aside,
) -> ChunkMap:
    """Return a chunk map that is finer where the directors' rows are dense. Reads all positions once.

    Parameters
    ----------
    target_rows
        Rows of one director in a chunk, at most, where chunks need not get narrower than the overlap allows.
    """
    histograms: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(HISTOGRAM_ORDER))
    for director in directors:
        name, done = director.table.name, 0
        # There is one of a table without rows, too.
        histogram = histograms[name]
        for file, matching in director.files:
            for ra, dec in read_positions(director.table, file, matching, set_aside):
                histogram.add(pixel_of(ra, dec))
                done += len(ra)
                progress(Progress(name, Stage.MAPPING, done, director.row_count))
    # The largest table of the family decides: its chunks are the ones that take time.
    counts = np.maximum.reduce([histogram.counts for histogram in histograms.values()])
    return ChunkMap.adaptive(counts, target_rows, max_order=finest_order(overlap_deg))


def finest_order(overlap_deg: float) -> int:
    """Return the finest order whose pixels are `SIDES_PER_OVERLAP` overlap radii wide."""
    order = 0
    while order < HISTOGRAM_ORDER and PIXEL_SIDE_DEG / 2 ** (order + 1) >= SIDES_PER_OVERLAP * overlap_deg:
        order += 1
    return order


def chunk_director_rows(rows: Rows, chunk_map: ChunkMap, overlap_deg: float) -> ChunkedRows:
    """Return a director's rows with their chunks, by their positions; rows without one are in chunk 0 and have no overlap."""
    known = np.flatnonzero(~np.isnan(rows.ra))
    everywhere = len(known) == len(rows.ra)
    pixels = rows.batch.column(HEALPIX_COLUMN).to_numpy(zero_copy_only=False)
    if not everywhere:
        pixels = rows.batch.column(HEALPIX_COLUMN).drop_null().to_numpy()
    chunks = np.full(rows.batch.num_rows, NULL_CHUNK, dtype=np.int64)
    chunks[known] = chunk_map.chunk_of(pixels)
    near, neighbours = overlap_chunks(rows.ra[known], rows.dec[known], pixels, chunk_map, overlap_deg)
    return ChunkedRows(rows.batch, chunks, rows.batch.take(pa.array(known[near])), neighbours)


async def chunk_dependent_rows(
    rows: Rows, table: Table, engine: AsyncEngine, staging: Staging, set_aside: SetAside = none_set_aside
) -> ChunkedRows:
    """Return a dependent's rows with the chunks of their director's rows. A dependent has no overlap.

    Raises
    ------
    BadRowError
        A row's director is not there, or has no position while the row has one, and the row is not set aside.
    """
    ((director, name),) = table.directors
    lost = np.zeros(rows.batch.num_rows, dtype=np.bool_)
    of_rows = await _chunks_of_keys(rows, (director, name), engine, staging, set_aside, lost)
    if len(rows.ra):
        # A region never leads to chunk 0: a row with a position would be lost there.
        apart = (of_rows == NULL_CHUNK) & ~np.isnan(rows.ra) & ~lost
        _lose(rows, apart, name, f"the row has a position, but that of its {director} is NULL", set_aside, lost)
    return whole_rows(rows.without(lost), of_rows[~lost])


async def chunk_pair_rows(
    rows: Rows, table: Table, engine: AsyncEngine, staging: Staging, set_aside: SetAside = none_set_aside
) -> ChunkedRows:
    """Return a ref-match table's rows with the chunks of their first director's rows, where each pair is at home.

    A pair whose second director's row lies in another chunk is in the overlap of that chunk too.

    Raises
    ------
    BadRowError
        A director has no row of one of the keys, and the row is not set aside.
    """
    lost = np.zeros(rows.batch.num_rows, dtype=np.bool_)
    found = [await _chunks_of_keys(rows, each, engine, staging, set_aside, lost) for each in table.directors]
    first, second = (chunks[~lost] for chunks in found)
    kept = rows.without(lost)
    parted = np.flatnonzero(first != second)
    return ChunkedRows(kept.batch, first, kept.batch.take(pa.array(parted)), second[parted])


async def _chunks_of_keys(  # noqa: PLR0913, PLR0917 (the rows and their director, where it is looked up, what happens to the lost)
    rows: Rows, named: tuple[str, str], engine: AsyncEngine, staging: Staging, set_aside: SetAside, lost: Bools
) -> Pixels:
    """Return the chunks of the rows of a director, whose keys are in a column; shape (n,). Of rows that are lost, it is any."""
    director, name = named
    keys = rows.batch.column(name)
    wanted = np.unique(keys.to_numpy())
    parts = [wanted[start : start + LOOKUP_KEYS] for start in range(0, len(wanted), LOOKUP_KEYS)]
    async with connect(engine) as connection:
        found = [await find_chunks(connection, staging.home(director), director, part) for part in parts]
    known, chunks = (np.concatenate([pair[side] for pair in found] or [np.empty(0, np.int64)]) for side in (0, 1))
    unknown = ~pc.is_in(keys, pa.array(known, keys.type)).to_numpy(zero_copy_only=False) & ~lost
    _lose(rows, unknown, name, f"table {director} has no row of this key", set_aside, lost)
    of_rows = np.full(len(keys), NULL_CHUNK, dtype=np.int64)
    of_rows[~lost] = chunks[np.searchsorted(known, keys.to_numpy()[~lost])]
    return of_rows


def _lose(  # noqa: PLR0913, PLR0917 (which rows, why, what happens to them)
    rows: Rows, which: Bools, name: str, reason: str, set_aside: SetAside, lost: Bools
) -> None:
    """Set rows aside, and count them as lost."""
    for row in np.flatnonzero(which).tolist():
        set_aside(rows.origin.error(row, name, rows.batch.column(name)[row], reason))
    lost |= which


def whole_rows(rows: Rows, chunks: Pixels) -> ChunkedRows:
    """Return rows whose chunks are known, without overlap."""
    return ChunkedRows(rows.batch, chunks, rows.batch.slice(0, 0), np.empty(0, dtype=np.int64))

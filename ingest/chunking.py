"""The chunk map of a family, and the chunks of rows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.inputs import Input
from ingest.report import Progress, ProgressCallback, Stage
from ingest.rows import Rows, SetAside, none_set_aside, read_positions
from partitioner.chunkmap import ChunkMap, Histogram
from partitioner.healpix import Pixels, pixel_of
from partitioner.overlap import overlap_chunks
from partitioner.sphere import Floats
from qserv.ids import NULL_CHUNK
from schema.model import HEALPIX_COLUMN
from workers.runs.taking import taken

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
    return ChunkedRows(rows.batch, chunks, taken(rows.batch, known[near]), neighbours)


def chunks_at(ra: Floats, dec: Floats, chunk_map: ChunkMap) -> Pixels:
    """Return the chunks of positions, in degrees, shape (n,): of NaN, it is chunk 0."""
    known = ~np.isnan(ra)
    chunks = np.full(len(ra), NULL_CHUNK, dtype=np.int64)
    chunks[known] = chunk_map.chunk_of(pixel_of(ra[known], dec[known]))
    return chunks


def copies(ra: Floats, dec: Floats, chunks: Pixels, chunk_map: ChunkMap, overlap_deg: float) -> tuple[Pixels, Pixels]:
    """Return (row, chunk) for each chunk that a position is in or near, but where its row is not at home.

    Parameters
    ----------
    ra, dec
        Positions, degrees, shape (n,); of NaN there are none.
    chunks
        Where the rows are at home.
    """
    placed = np.flatnonzero(~np.isnan(ra))
    pixels = pixel_of(ra[placed], dec[placed])
    near, neighbours = overlap_chunks(ra[placed], dec[placed], pixels, chunk_map, overlap_deg)
    copied = np.concatenate([placed, placed[near]])
    there = np.concatenate([chunk_map.chunk_of(pixels), neighbours])
    away = there != chunks[copied]
    return copied[away], there[away]


def rows_at_home(rows: Rows, chunks: Pixels, chunk_map: ChunkMap, overlap_deg: float) -> ChunkedRows:
    """Return rows with copies for each chunk that their own position is in or near, but where they are not at home."""
    copied, there = copies(rows.ra, rows.dec, chunks, chunk_map, overlap_deg)
    return ChunkedRows(rows.batch, chunks, taken(rows.batch, copied), there)


def whole_rows(rows: Rows, chunks: Pixels) -> ChunkedRows:
    """Return rows whose chunks are known, without overlap."""
    return ChunkedRows(rows.batch, chunks, rows.batch.slice(0, 0), np.empty(0, dtype=np.int64))

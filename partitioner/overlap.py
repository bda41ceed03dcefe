"""The chunk of every row, and the further chunks whose overlap it belongs to.

A row belongs to the overlap of every chunk but its own that comes within the overlap radius of it. Edges of chunks are curves, so
rows are sorted out in three steps:

1. A table per chunk order, of 128 x 128 cells of a chunk, drops the rows too far from every edge (`_near_cells`).
2. A row near a single edge needs one distance, from that curve: two Newton steps (`partitioner.overlap_edge`).
3. The few others, near corners or next to smaller chunks, go down the pixel tree (`partitioner.overlap_tree`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from partitioner.chunkmap import ChunkMap
from partitioner.face import BELT_GRADIENT_PER_RAD, GRADIENT_PER_RAD, PARALLEL_DEG
from partitioner.healpix import ORDER, Pixels, neighbours, pixel_of, range_starts
from partitioner.overlap_edge import EDGES, near_edges, within_of_edge
from partitioner.overlap_tree import PairsOfRowAndChunk, chunks_near
from partitioner.region import RING_RAD
from partitioner.sphere import Bools, Floats, unit_vectors

MAX_OVERLAP_DEG = 10.0
"""Largest overlap radius; a family with more would store most of its rows many times."""

MAX_EDGE_REACH = 0.2
"""Up to this overlap, in sides of a chunk, one edge at a time is enough: its curvature times the overlap stays below 0.25."""

_CELL_LEVELS = 7
"""A chunk has ``4**7`` cells in the table of step 1: 16 kB, within a processor's first cache."""


@dataclass(frozen=True)
class Assignment:
    """Where rows go.

    Attributes
    ----------
    healpix29
        int64, shape (n,): order-29 pixel of each row.
    chunk
        int64, shape (n,): number (NUNIQ) of each row's own chunk.
    overlap_row, overlap_chunk
        int64, shape (m,): row ``overlap_row[i]`` belongs to the overlap of chunk ``overlap_chunk[i]`` too; ascending by row.
    """

    healpix29: Pixels
    chunk: Pixels
    overlap_row: Pixels
    overlap_chunk: Pixels


def assign(ra: ArrayLike, dec: ArrayLike, chunk_map: ChunkMap, overlap_deg: float) -> Assignment:
    """Return pixels, chunks and overlaps of rows.

    Parameters
    ----------
    ra, dec
        Positions, degrees, shape (n,); rows without one go to chunk 0 and must not come here.
    overlap_deg
        Overlap radius, 0 to `MAX_OVERLAP_DEG`; 0 means no overlap.

    Raises
    ------
    ValueError
        A position or the overlap radius is out of its range.
    """
    lon, lat = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    healpix29 = pixel_of(lon, lat)
    rows, chunks = overlap_chunks(lon, lat, healpix29, chunk_map, overlap_deg)
    return Assignment(healpix29, chunk_map.chunk_of(healpix29), rows, chunks)


def overlap_chunks(
    ra: ArrayLike, dec: ArrayLike, healpix29: ArrayLike, chunk_map: ChunkMap, overlap_deg: float
) -> tuple[Pixels, Pixels]:
    """Return (row, chunk) for each chunk, other than the row's own, that comes within the overlap radius of the row.

    No such pair is missing. A pair whose distance is up to 1 % beyond the radius may be there too, where the row is near a corner
    of a chunk or next to smaller chunks; elsewhere the excess is below 1e-11 rad.

    Parameters
    ----------
    ra, dec
        Positions, degrees, shape (n,).
    healpix29
        Their order-29 pixels.
    overlap_deg
        Overlap radius, 0 to `MAX_OVERLAP_DEG`; 0 means no overlap.

    Returns
    -------
    tuple
        Row indexes, ascending, and chunk numbers (NUNIQ); int64, shape (m,).

    Raises
    ------
    ValueError
        The overlap radius is out of its range.
    """
    if not 0 <= overlap_deg <= MAX_OVERLAP_DEG:
        msg = f"an overlap radius of {overlap_deg} degrees is outside 0 to {MAX_OVERLAP_DEG:g}"
        raise ValueError(msg)
    rows = _Rows(np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64), np.asarray(healpix29, dtype=np.int64))
    found = [PairsOfRowAndChunk.none()]
    if overlap_deg > 0 and len(rows.healpix29):
        overlap_rad = float(np.radians(overlap_deg))
        if chunk_map.order is not None:
            found.append(_pairs(rows, chunk_map, overlap_rad, chunk_map.order))
        else:
            order_of_row = chunk_map.orders[chunk_map.index_of(rows.healpix29)]
            for order in np.unique(chunk_map.orders).tolist():
                index = np.flatnonzero(order_of_row == order)
                found.append(_pairs(rows.at(index), chunk_map, overlap_rad, order).of_rows(index))
    pairs = PairsOfRowAndChunk.union(found)
    key = np.unique(pairs.row * len(chunk_map) + pairs.chunk_index)
    return key // len(chunk_map), chunk_map.nuniq[key % len(chunk_map)]


@dataclass(frozen=True)
class _Rows:
    """Positions (deg) and order-29 pixels of rows, shape (n,) each."""

    ra: Floats
    dec: Floats
    healpix29: Pixels

    def at(self, index: Pixels) -> "_Rows":
        return _Rows(self.ra[index], self.dec[index], self.healpix29[index])


def _pairs(rows: _Rows, chunk_map: ChunkMap, overlap_rad: float, order: int) -> PairsOfRowAndChunk:
    """Return the pairs, some of them twice, of rows whose own chunks have one order."""
    if overlap_rad * (1 << order) >= RING_RAD:
        return chunks_near(unit_vectors(rows.ra, rows.dec), rows.healpix29, chunk_map, overlap_rad)
    reach = GRADIENT_PER_RAD * (1 << order) * overlap_rad
    cells = (rows.healpix29 >> (2 * (ORDER - order - _CELL_LEVELS))) & ((1 << (2 * _CELL_LEVELS)) - 1)
    near = np.flatnonzero(_near_cells(reach)[cells])
    rows = rows.at(near)
    xyz = unit_vectors(rows.ra, rows.dec)
    if reach > MAX_EDGE_REACH:
        return chunks_near(xyz, rows.healpix29, chunk_map, overlap_rad).of_rows(near)

    in_belt = np.abs(rows.dec) + np.degrees(overlap_rad) < PARALLEL_DEG
    edges = near_edges(rows.healpix29, order, np.where(in_belt, BELT_GRADIENT_PER_RAD / GRADIENT_PER_RAD, 1.0) * reach)
    count = edges.sum(axis=0)
    one_edge = count == 1
    by_tree = count > 1
    found = []
    for edge, near_edge in zip(EDGES, edges, strict=True):
        at = np.flatnonzero(near_edge & one_edge)
        across = neighbours(order, rows.healpix29[at] >> (2 * (ORDER - order)))[:, edge.across]
        chunk = chunk_map.index_of(range_starts(order, across))
        whole = chunk == chunk_map.index_of(range_starts(order, across + 1) - 1)
        by_tree[at[~whole]] = True
        at, chunk = at[whole], chunk[whole]
        close = within_of_edge(xyz[at], rows.healpix29[at], order, edge, overlap_rad)
        found.append(PairsOfRowAndChunk(at[close], chunk[close]))
    at = np.flatnonzero(by_tree)
    found.append(chunks_near(xyz[at], rows.healpix29[at], chunk_map, overlap_rad).of_rows(at))
    return PairsOfRowAndChunk.union(found).of_rows(near)


@lru_cache(maxsize=64)
def _near_cells(reach: float) -> Bools:
    """Return, by number of the cell within the chunk, which cells may hold a row within ``reach`` (in sides) of an edge."""
    cells = np.arange(1 << (2 * _CELL_LEVELS), dtype=np.int64) << (2 * (ORDER - _CELL_LEVELS))
    edges = near_edges(cells, 0, np.full(len(cells), reach + 2.0**-_CELL_LEVELS))
    near: Bools = np.asarray(edges.any(axis=0), dtype=np.bool_)
    near.flags.writeable = False
    return near

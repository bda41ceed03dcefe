"""Chunks near rows, found down the tree of HEALPix pixels: right for every chunk map, corner and radius."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import hpgeom
import numpy as np

from partitioner.chunkmap import ChunkMap
from partitioner.healpix import ORDER, Pixels, neighbours, pixel_centre_xyz, range_starts
from partitioner.region import PAD_RAD, RING_RAD
from partitioner.sphere import Floats, vector_separation_rad

TOLERANCE = 0.005
"""A pixel whose circumradius is this part of the distance is taken if it is touched: an excess of at most twice that, 1 %."""


@dataclass(frozen=True)
class PairsOfRowAndChunk:
    """Pairs of row index and chunk index (in `ChunkMap.nuniq`), int64, shape (n,) each."""

    row: Pixels
    chunk_index: Pixels

    @classmethod
    def none(cls) -> Self:
        """Return no pairs."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    @classmethod
    def union(cls, parts: Sequence["PairsOfRowAndChunk"]) -> Self:
        """Return the pairs of all parts."""
        return cls(np.concatenate([part.row for part in parts]), np.concatenate([part.chunk_index for part in parts]))

    def of_rows(self, index: Pixels) -> Self:
        """Return the same pairs, with ``index[row]`` in place of each row."""
        return type(self)(index[self.row], self.chunk_index)


def chunks_near(xyz: Floats, healpix29: Pixels, chunk_map: ChunkMap, distance_rad: float) -> PairsOfRowAndChunk:
    """Return the chunks, other than the row's own, within a distance of rows (unit vectors, shape (n, 3)); pairs may repeat.

    It starts from the pixels around the row that hold everything within the distance, and splits those that are neither surely
    near nor surely far, until they are small (`TOLERANCE`) or a point of their chunk was found near.
    """
    order = min(int(np.log2(RING_RAD / distance_rad)), ORDER)
    own = chunk_map.index_of(healpix29)
    ancestor = healpix29 >> (2 * (ORDER - order))
    around = np.concatenate((neighbours(order, ancestor), ancestor[:, np.newaxis]), axis=1)
    row = np.repeat(np.arange(len(xyz)), around.shape[1])
    pixel = around.ravel()
    row, pixel = row[pixel >= 0], pixel[pixel >= 0]
    found = [PairsOfRowAndChunk.none()]
    while len(row):
        chunk = chunk_map.index_of(range_starts(order, pixel))
        single = chunk == chunk_map.index_of(range_starts(order, pixel + 1) - 1)
        keep = ~(single & (chunk == own[row]))
        row, pixel, chunk, single = row[keep], pixel[keep], chunk[keep], single[keep]
        circumradius = float(np.radians(hpgeom.max_pixel_radius(1 << order))) + PAD_RAD
        separation = vector_separation_rad(xyz[row], pixel_centre_xyz(order, pixel))
        touched = separation <= distance_rad + circumradius
        small = circumradius <= TOLERANCE * distance_rad or order == ORDER
        taken = single & touched if small else single & (separation <= distance_rad)
        found.append(PairsOfRowAndChunk(row[taken], chunk[taken]))
        done = np.isin(row * len(chunk_map) + chunk, row[taken] * len(chunk_map) + chunk[taken])
        keep = touched & ~(single & done)
        if order == ORDER:
            break
        row = np.repeat(row[keep], 4)
        pixel = (4 * pixel[keep][:, np.newaxis] + np.arange(4)).ravel()
        order += 1
    return PairsOfRowAndChunk.union(found)

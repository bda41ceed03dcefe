"""How near the nearest other row of a chunk is: what lets a join of near neighbours leave out rows that have none.

A chunk query pairs rows of the chunk with rows of the chunk and its overlap. So a row of the chunk is measured against both, and a
row of the overlap against the chunk alone: one in the overlap never meets another one of the overlap.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from partitioner.sphere import Floats, unit_vectors

REACH_DEG = 3 / 3600
"""Largest separation that is kept. Blends and duplicates are sought within 1 or 2 arcsec; with a larger reach, most rows of a dense
field have a neighbour, and knowing it leaves out few."""

MARGIN_RAD = 1e-11
"""What a kept separation is smaller by: ten times the width of the edge of a circle (`partitioner.sphere.EDGE_RAD`), and thousands
of times the rounding of positions and chords. It is never too large for a test that the pair itself passes."""


class Positions:
    """Positions of rows, those that are at the same place together.

    Parameters
    ----------
    ra, dec
        Degrees, shape (n,), NaN where there is none, in the order of their pixels: so equal ones follow each other.
    """

    def __init__(self, ra: Floats, dec: Floats) -> None:
        self.known = ~np.isnan(ra) & ~np.isnan(dec)
        places = np.stack((ra[self.known], dec[self.known]))
        new = np.ones(places.shape[1], dtype=np.bool_)
        new[1:] = (places[:, 1:] != places[:, :-1]).any(axis=0)
        self.place: NDArray[np.int64] = np.cumsum(new) - 1
        """Of each row that has a position."""
        self.shared: NDArray[np.bool_] = np.bincount(self.place, minlength=int(new.sum())) > 1
        """Which places have several rows. A tree of equal points would take time by the square of their number."""
        self.points: Floats = unit_vectors(*places[:, new])

    def of_rows(self, separations_rad: Floats) -> Floats:
        """Return separations, one a place, as what is kept of each row: degrees, shape (n,), NaN where none is within reach."""
        found = np.full(len(self.known), np.nan)
        kept = np.degrees(np.maximum(separations_rad - MARGIN_RAD, 0.0))
        found[self.known] = np.where(np.isinf(kept), np.nan, kept)[self.place]
        return found


@dataclass(frozen=True)
class ChunkNeighbours:
    """Rows of a chunk and of its overlap."""

    base: Positions
    overlap: Positions

    def of_base(self) -> Floats:
        """Return how near the nearest other row is to each row of the chunk, deg, shape (n,); NaN beyond `REACH_DEG`."""
        own = np.where(self.base.shared, 0.0, _nearest(self.base.points, self.base.points, rank=2))
        return self.base.of_rows(np.minimum(own, _nearest(self.base.points, self.overlap.points)))

    def of_overlap(self) -> Floats:
        """Return how near the nearest row of the chunk is to each row of its overlap, deg, shape (m,); NaN beyond `REACH_DEG`."""
        return self.overlap.of_rows(_nearest(self.overlap.points, self.base.points))


def _nearest(points: Floats, others: Floats, rank: int = 1) -> Floats:
    """Return the angle (rad) to the nearest of other points, or to that of a rank, shape (n,); infinity beyond the reach."""
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    reach = math.radians(REACH_DEG) + 2 * MARGIN_RAD
    # An unbalanced tree is made in half the time, and found through as fast.
    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
    chords, _ = tree.query(points, k=[rank], distance_upper_bound=2 * math.sin(reach / 2))
    angles: Floats = np.full(len(points), np.inf)
    near = np.flatnonzero(np.isfinite(chords[:, 0]))
    angles[near] = 2 * np.arcsin(chords[near, 0] / 2)
    return angles

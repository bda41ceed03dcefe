"""How near the nearest other row of a chunk is: what lets a join of near neighbours leave out rows that have none.

A chunk query pairs rows of the chunk with rows of the chunk and its overlap. So a row of the chunk is measured against both, and a
row of the overlap against the chunk alone: one in the overlap never meets another one of the overlap.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from partitioner.sphere import Floats, unit_vectors

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Value = TypeVar("Value", bound=np.generic)

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

    def of_rows(self, values: NDArray[Value], missing: float) -> NDArray[Value]:
        """Return the value of each row, shape (n,), of values of places; ``missing`` where a row has no position."""
        found = np.full(len(self.known), missing, dtype=values.dtype)
        found[self.known] = values[self.place]
        return found


def nearest_deg(base: Positions, overlap: Positions) -> tuple[Floats, Floats]:
    """Return how near the nearest row is to each of a chunk, and to each of its overlap: deg, shape (n,) and (m,).

    Of a row of the chunk it is the nearest other one of both, of a row of the overlap the nearest of the chunk; NaN beyond
    `REACH_DEG`.
    """
    of_base, of_overlap = (np.full(len(part.points), np.inf) for part in (base, overlap))
    if len(base.points):
        tree = tree_of(base.points)
        of_base = tree.query(base.points, k=[2], distance_upper_bound=chord(REACH_DEG))[0][:, 0]
        of_base[base.shared] = 0.0
        if len(overlap.points):
            across = tree_of(overlap.points).sparse_distance_matrix(tree, chord(REACH_DEG), output_type="ndarray")
            np.minimum.at(of_overlap, across["i"], across["v"])
            np.minimum.at(of_base, across["j"], across["v"])
    return base.of_rows(_kept(of_base), np.nan), overlap.of_rows(_kept(of_overlap), np.nan)


def chord(separation_deg: float) -> float:
    """Return the chord within which all pairs are that a test finds within a separation; that of a unit sphere."""
    return 2 * math.sin((math.radians(separation_deg) + 2 * MARGIN_RAD) / 2)


def _kept(chords: Floats) -> Floats:
    """Return what is kept of chords, deg; NaN for infinity."""
    near = np.isfinite(chords)
    kept = np.full(len(chords), np.nan)
    kept[near] = np.degrees(np.maximum(2 * np.arcsin(chords[near] / 2) - MARGIN_RAD, 0.0))
    return kept


def tree_of(points: Floats) -> "cKDTree":
    """Return a tree that is made in half the time of a balanced one, and is looked through as fast."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 (a worker starts in two thirds of the time without it)

    return cKDTree(points, balanced_tree=False, compact_nodes=False)

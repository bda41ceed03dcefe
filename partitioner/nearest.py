"""How near the nearest other row of a chunk is: what lets a join of near neighbours leave out rows that have none.

A chunk query pairs rows of the chunk with rows of the chunk and its overlap. So a row of the chunk is measured against both, and a
row of the overlap against the chunk alone: one in the overlap never meets another one of the overlap.
"""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from partitioner.sphere import Floats
from partitioner.strips import strips

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Value = TypeVar("Value", bound=np.generic)

REACH_DEG = 3 / 3600
"""Largest separation that is kept. Blends and duplicates are sought within 1 or 2 arcsec; with a larger reach, most rows of a dense
field have a neighbour, and knowing it leaves out few."""

MARGIN_RAD = 1e-11
"""What a kept separation is smaller by: ten times the width of the edge of a circle (`partitioner.sphere.EDGE_RAD`), and thousands
of times the rounding of positions and chords. It is never too large for a test that the pair itself passes."""

LOOKED_AT_A_POINT, FEW_LOOKED_AT = 1_000, 1_000_000
"""Others that are looked at in strips at most, for each point and besides: where there are more, trees are faster."""


class Positions:
    """Positions of rows, those that are at the same place together.

    Parameters
    ----------
    ra, dec
        Degrees, shape (n,), NaN where there is none, in the order of their pixels: so equal ones follow each other.
    """

    def __init__(self, ra: Floats, dec: Floats) -> None:
        from partitioner.loops import places  # noqa: PLC0415 (a worker starts without what it takes to compile)

        self.known = ~np.isnan(ra) & ~np.isnan(dec)
        self.place, self.points, self.shared = places(ra[self.known], dec[self.known])
        """The place of each row that has a position; of each place, its unit vector, and whether it has several rows: a tree of
        equal points would take time by the square of their number."""

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
    of_base, of_overlap = _in_strips(base.points, overlap.points) or _in_trees(base.points, overlap.points)
    of_base[base.shared] = 0.0
    return base.of_rows(_kept(of_base), np.nan), overlap.of_rows(_kept(of_overlap), np.nan)


def _in_strips(base: Floats, overlap: Floats) -> tuple[Floats, Floats] | None:
    """Return the shortest chord of each point to another one, infinite beyond the reach; None where points are too dense."""
    from partitioner.loops import nearest_chords  # noqa: PLC0415 (as above)

    points, reach = np.concatenate([base, overlap]), chord(REACH_DEG)
    most = LOOKED_AT_A_POINT * len(points) + FEW_LOOKED_AT
    chords, all_measured = nearest_chords(strips(points, reach), len(base), reach, most)
    return (chords[: len(base)], chords[len(base) :]) if all_measured else None


def _in_trees(base: Floats, overlap: Floats) -> tuple[Floats, Floats]:
    """Return the same, however dense points are."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 (a worker starts in two thirds of the time without it)

    # Such trees are made in half the time of balanced ones, and are looked through as fast.
    of_base, of_overlap = (
        cKDTree(part, balanced_tree=False, compact_nodes=False) if len(part) else None for part in (base, overlap)
    )
    return np.minimum(_nearest(of_base, base, 2), _nearest(of_overlap, base, 1)), _nearest(of_base, overlap, 1)


def _nearest(tree: "cKDTree | None", points: Floats, which: int) -> Floats:
    """Return the chord of each point, shape (n, 3), to the nearest or second nearest of a tree; infinite beyond the reach."""
    if tree is None or not len(points):
        return np.full(len(points), np.inf)
    found: Floats = tree.query(points, k=[which], distance_upper_bound=chord(REACH_DEG))[0][:, 0]
    return found


def chord(separation_deg: float) -> float:
    """Return the chord within which all pairs are that a test finds within a separation; that of a unit sphere."""
    return 2 * math.sin((math.radians(separation_deg) + 2 * MARGIN_RAD) / 2)


def _kept(chords: Floats) -> Floats:
    """Return what is kept of chords, deg; NaN for infinity."""
    near = np.isfinite(chords)
    kept = np.full(len(chords), np.nan)
    kept[near] = np.degrees(np.maximum(2 * np.arcsin(chords[near] / 2) - MARGIN_RAD, 0.0))
    return kept

"""Friends of friends: groups of rows that chains of near neighbours connect, so that two rows near each other are in one group.

A join of near neighbours then asks for rows of one group: a number that is equal, where positions are only close.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from partitioner.nearest import MARGIN_RAD, REACH_DEG, Positions, chord
from partitioner.pairs import close_pairs
from partitioner.sphere import Floats

Groups = NDArray[np.int32]

NONE = -1
"""Group of a row that has no neighbour."""

PAIRS_A_PLACE, FEW_PAIRS = 8, 100_000
"""Of places in one group there are at most so many ordered pairs, for each place and besides: what a join compares in vain. Chains
of more than four neighbours each run through a whole field (continuum percolation of discs: 4.5)."""


def friends(parts: Sequence[tuple[Positions, Floats]]) -> tuple[list[Groups], float | None]:
    """Return the groups of the rows of a chunk and its overlap, and the linking length.

    Parameters
    ----------
    parts
        Positions of rows, and how near the nearest other one is to each, deg, shape (n,), NaN where none is: those have no group.

    Returns
    -------
    groups
        Of each part, shape (n,), `NONE` where a row has no neighbour. Two rows with a neighbour are in one group if they are not
        farther apart than the linking length.
    linking_deg
        `REACH_DEG`, halved until the groups are small. None where they are not even for as many rows at nearly the same place as
        cannot be told apart: nothing is said of the groups then.
    """
    near = []
    for positions, nearest in parts:
        of_part = np.zeros(len(positions.points), dtype=np.bool_)
        of_part[positions.place] = ~np.isnan(nearest[positions.known])
        near.append(of_part)
    points = [positions.points[of_part] for (positions, _), of_part in zip(parts, near, strict=True)]
    linked, linking_deg = _linked(np.concatenate(points))
    groups, start = [], 0
    for (positions, _), of_part in zip(parts, near, strict=True):
        count = int(of_part.sum())
        of_places = np.full(len(of_part), NONE, dtype=np.int32)
        of_places[of_part] = linked[start : start + count]
        start += count
        groups.append(positions.of_rows(of_places, NONE))
    return groups, linking_deg


def _linked(points: Floats) -> tuple[Groups, float | None]:
    """Return the group of each point, shape (n,), of unit vectors, shape (n, 3); and the linking length, deg."""
    linking_deg = REACH_DEG
    if not len(points):
        return np.empty(0, dtype=np.int32), linking_deg
    from scipy.sparse import coo_array  # noqa: PLC0415 (as for trees)
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    most = PAIRS_A_PLACE * len(points) + FEW_PAIRS
    while np.radians(linking_deg) > MARGIN_RAD:
        # The linked pairs are among those of a group: where they are too many, they need not be listed.
        pairs = close_pairs(points, chord(linking_deg), most)
        if pairs is not None:
            linked = np.ones(len(pairs.chords), dtype=np.bool_)
            links = coo_array((linked, (pairs.first, pairs.second)), shape=(len(points), len(points)))
            groups = connected_components(links, directed=False)[1]
            if np.square(np.bincount(groups)).sum() <= most:
                return groups.astype(np.int32), linking_deg
        linking_deg /= 2
    return np.zeros(len(points), dtype=np.int32), None

"""Friends of friends: groups of rows that chains of near neighbours connect, so that two rows near each other are in one group.

A join of near neighbours then asks for rows of one group: a number that is equal, where positions are only close.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from partitioner.nearest import MARGIN_RAD, REACH_DEG, Positions, chord
from partitioner.sphere import Floats
from partitioner.strips import strips

Groups = NDArray[np.int32]

NONE = -1
"""Group of a row that has no neighbour."""

PAIRS_A_PLACE, FEW_PAIRS = 8, 100_000
"""Of places in one group there are at most so many ordered pairs, for each place and besides: what a join compares in vain. Chains
of more than four neighbours each run through a whole field (continuum percolation of discs: 4.5)."""

LOOKED_AT_A_PAIR = 32
"""Others of points that are looked at in strips at most, for each such pair: where there are more, groups are too large. Points in
half the width of a strip, and in six sevenths of it along the strip, are in one group. From each such cell, others are looked at in
16 cells, and it is looked at from 16: so they are 16 times the pairs within cells at most. Twice that, because strips are flat."""


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
    from partitioner.loops import linked_groups  # noqa: PLC0415 (a worker starts without what it takes to compile)

    linking_deg = REACH_DEG
    most = PAIRS_A_PLACE * len(points) + FEW_PAIRS
    while np.radians(linking_deg) > MARGIN_RAD:
        reach = chord(linking_deg)
        groups, small = linked_groups(strips(points, reach), reach, most, LOOKED_AT_A_PAIR * most)
        if small:
            return groups, linking_deg
        linking_deg /= 2
    return np.zeros(len(points), dtype=np.int32), None

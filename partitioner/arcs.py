"""Great-circle arcs, each shorter than half a turn: distances, crossings, and the area that a closed chain of them bounds."""

import numpy as np

from partitioner.sphere import EDGE_RAD, Floats, vector_separation_rad

_PAIRS_AT_ONCE = 1 << 19
"""Pairs of arcs tested at a time: 12 MB for each array of vectors."""


def arc_distances_rad(points: Floats, starts: Floats, ends: Floats, normals: Floats) -> Floats:
    """Return distances in radians, shape (n, m), of n points from m arcs; ``normals`` are the arcs' unit normals.

    The nearest point is inside the arc if the point's projection onto the plane of the arc lies between the ends; else an end.
    """
    height = points @ normals.T
    after_start = points @ np.cross(normals, starts).T
    before_end = points @ np.cross(ends, normals).T
    to_start = vector_separation_rad(points[:, np.newaxis, :], starts[np.newaxis, :, :])
    # The ends of a closed chain's arcs are the next arcs' starts, but an open set of arcs may come here too.
    to_end = (
        np.roll(to_start, -1, axis=1)
        if np.array_equal(ends, np.roll(starts, -1, axis=0))
        else vector_separation_rad(points[:, np.newaxis, :], ends[np.newaxis, :, :])
    )
    between = (after_start >= 0) & (before_end >= 0)
    return np.where(between, np.arcsin(np.minimum(np.abs(height), 1.0)), np.minimum(to_start, to_end))


def enclosed_area_sr(xyz: Floats) -> float:
    """Return the area, 0 to 4 pi, to the left of a closed chain of arcs that does not cross itself.

    Gauss and Bonnet: 2 pi less the sum of the angles by which the chain turns left at its vertices.
    """
    ends = np.roll(xyz, -1, axis=0)
    normals = np.cross(xyz - ends, xyz + ends)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    before = np.roll(normals, 1, axis=0)
    turns = np.arctan2(np.einsum("ij,ij->i", np.cross(before, normals), xyz), np.einsum("ij,ij->i", before, normals))
    return float(2 * np.pi - turns.sum())


def first_crossing(xyz: Floats) -> tuple[int, int] | None:
    """Return the first two edges of a closed chain that cross, touch (`EDGE_RAD`) or run back over each other, or None."""
    count = len(xyz)
    ends = np.roll(xyz, -1, axis=0)
    normals = np.cross(xyz - ends, xyz + ends)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    step = max(_PAIRS_AT_ONCE // count, 1)
    index = np.arange(count)
    for first in range(0, count, step):
        rows = index[first : first + step]
        apart = (index[np.newaxis, :] - rows[:, np.newaxis]) % count
        # Side of each edge's great circle (column) on which these edges start, and the other way round.
        from_left, to_left = np.sign(xyz[rows] @ normals.T), np.sign(ends[rows] @ normals.T)
        others_from, others_to = np.sign(normals[rows] @ xyz.T), np.sign(normals[rows] @ ends.T)
        crosses = (from_left * to_left < 0) & (others_from * others_to < 0) & (from_left * others_from < 0)
        faults = crosses & (apart > 1) & (apart < count - 1)
        # A vertex on an edge that does not end there.
        faults |= (arc_distances_rad(xyz[rows], xyz, ends, normals) <= EDGE_RAD) & (apart != 0) & (apart != count - 1)
        if faults.any():
            row, column = np.argwhere(faults)[0]
            return int(min(rows[row], column)), int(max(rows[row], column))
    return None

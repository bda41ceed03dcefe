"""Closed chains of great-circle arcs, each shorter than half a turn: distances, crossings, and the area that a chain bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from partitioner.sphere import EDGE_RAD, Floats, cross, vector_separation_rad

_PAIRS_AT_ONCE = 1 << 19
"""Pairs of position and arc looked at together: 12 MB for each array of vectors."""

SMALL_RAD = 0.1
"""A chain whose vertices are no farther from the first one is small: in one hemisphere, with all its arcs."""


@dataclass(frozen=True, eq=False)
class ArcChain:
    """Arcs from each vertex to the next, and from the last to the first.

    Attributes
    ----------
    vertices
        Unit vectors, shape (n, 3); neighbours differ and are not antipodes.
    """

    vertices: Floats

    def __len__(self) -> int:
        return len(self.vertices)

    @cached_property
    def ends(self) -> Floats:
        """Where the arc from each vertex ends, shape (n, 3)."""
        return np.roll(self.vertices, -1, axis=0)

    @cached_property
    def normals(self) -> Floats:
        """Unit normals of the arcs, shape (n, 3), towards their left."""
        normals = cross(self.vertices - self.ends, self.vertices + self.ends)
        unit: Floats = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        return unit

    @cached_property
    def lengths_rad(self) -> Floats:
        """Lengths of the arcs, shape (n,)."""
        return vector_separation_rad(self.vertices, self.ends)

    @cached_property
    def _forward(self) -> Floats:
        """Directions of the arcs at their starts, and, negated, at their ends: shape (2, n, 3)."""
        return np.stack((cross(self.normals, self.vertices), cross(self.ends, self.normals)))

    def parts(self, rows: int) -> Iterator[slice]:
        """Yield slices of rows whose arrays of (rows, arcs) stay small."""
        step = max(_PAIRS_AT_ONCE // len(self), 1)
        return (slice(first, first + step) for first in range(0, rows, step))

    def distances_rad(self, points: Floats) -> Floats:
        """Return the distances of points (m, 3) from the arcs, in radians, shape (m, n). Not for more than `parts` at a time.

        The nearest point is inside an arc if the point's projection onto the plane of the arc lies between the ends; else an end.
        """
        height = np.arcsin(np.minimum(np.abs(points @ self.normals.T), 1.0))
        between = (points @ self._forward[0].T >= 0) & (points @ self._forward[1].T >= 0)
        to_start = vector_separation_rad(points[:, np.newaxis, :], self.vertices)
        return np.where(between, height, np.minimum(to_start, np.roll(to_start, -1, axis=1)))

    def nearest_rad(self, points: Floats) -> Floats:
        """Return the distances of points (m, 3) from the chain, in radians, shape (m,)."""
        nearest = np.empty(len(points))
        for part in self.parts(len(points)):
            nearest[part] = self.distances_rad(points[part]).min(axis=1)
        return nearest

    def left_area_sr(self) -> float:
        """Return the area, 0 to 4 pi, to the left of the chain, which must not cross itself.

        Gauss and Bonnet: 2 pi less the sum of the angles by which the chain turns left at its vertices. That is right to 1e-15; of
        a small one it is the sum of its triangles (van Oosterom and Strackee 1983), which is right to 1e-8 of itself.
        """
        if np.abs(self.vertices - self.vertices[0]).max() < SMALL_RAD:
            first, second, third = self.vertices[0], self.vertices[1:-1], self.vertices[2:]
            triple = cross(second - first, third - first) @ first
            cosines = second @ first + np.einsum("ij,ij->i", second, third) + third @ first
            signed = float(2 * np.arctan2(triple, 1 + cosines).sum())
            return signed if signed >= 0 else 4 * np.pi + signed
        before = np.roll(self.normals, 1, axis=0)
        sine = np.einsum("ij,ij->i", cross(before, self.normals), self.vertices)
        return float(2 * np.pi - np.arctan2(sine, np.einsum("ij,ij->i", before, self.normals)).sum())

    def first_crossing(self) -> tuple[int, int] | None:
        """Return the first two arcs that cross, touch (`EDGE_RAD`) or run back over each other, or None."""
        index = np.arange(len(self))
        for part in self.parts(len(self)):
            apart = (index - index[part, np.newaxis]) % len(self)
            # On which side of the other arc's great circle each starts and ends: of these arcs (rows), and of the others.
            start, end = np.sign(self.vertices[part] @ self.normals.T), np.sign(self.ends[part] @ self.normals.T)
            other_start, other_end = np.sign(self.normals[part] @ self.vertices.T), np.sign(self.normals[part] @ self.ends.T)
            # The third condition leaves out crossings of one arc with the other one's antipode.
            crosses = (start * end < 0) & (other_start * other_end < 0) & (start * other_start < 0)
            faults = crosses & (apart > 1) & (apart < len(self) - 1)
            # A vertex on an arc that neither starts nor ends there.
            faults |= (self.distances_rad(self.vertices[part]) <= EDGE_RAD) & (apart != 0) & (apart != len(self) - 1)
            if faults.any():
                row, column = (int(i) for i in np.argwhere(faults)[0])
                row += part.start
                return min(row, column), max(row, column)
        return None

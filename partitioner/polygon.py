"""Polygons with great-circle edges, convex or not, as of ADQL POLYGON."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partitioner.arcs import ArcChain
from partitioner.region import PAD_RAD, Region, checked_position
from partitioner.sphere import EDGE_RAD, Bools, Floats, cross, positions, unit_vectors, vector_separation_rad
from qserv.errors import QueryValueError

MIN_VERTICES = 3
"""Fewer do not enclose an area."""

MIN_CLEARANCE = 1e-6
"""Sine of the angle between the reference position and every edge's great circle: 10^10 times the rounding of its computation."""

ANTIPODAL_RAD = 1e-9
"""Two vertices this close to being antipodes (0.2 mas) leave the great circle between them undetermined."""


@dataclass(frozen=True)
class Polygon(Region):
    """The smaller of the two regions that a closed chain of great-circle arcs bounds.

    A position P is inside where the arc from `exterior`, R, to P crosses an odd number of edges, or where P is within 1e-12 rad of
    an edge. Let ``n = (R - P) x (R + P)``, twice R x P, but without its loss of digits where P is close to R or to -R; for the edge
    from A to B likewise ``m = (A - B) x (A + B)``; and let ``a = A.n >= 0`` and ``b = B.n >= 0`` (half-open: an arc through a
    vertex counts once). The arc crosses the edge where

    - a and not b, and ``R.m < 0 < P.m``; or
    - b and not a, and ``R.m > 0 > P.m``.

    The signs together keep a crossing at the antipode out. R is away from every edge's great circle, so its signs are sure; a P
    whose own sign is unsure lies on an edge, or next to an edge's antipode, where either sign says "no crossing". The SQL function
    ``qserv.in_polygon`` follows the same rule.

    Parameters
    ----------
    vertices
        (ra, dec) in degrees, in either winding. A last one equal to the first is left out.

    Raises
    ------
    QueryValueError
        A vertex is not a position; there are fewer than three; an edge has no length or joins antipodes; edges cross, touch or run
        back over each other.
    """

    vertices: tuple[tuple[float, float], ...]
    """(ra, dec) in degrees, as given, but counter-clockwise seen from the centre of the sphere's outside (east is left)."""

    def __init__(self, vertices: Sequence[Sequence[float]]) -> None:
        chain = [(float(ra), float(dec)) for ra, dec in vertices]
        for ra, dec in chain:
            checked_position(ra, dec, "vertex of a polygon")
        xyz = unit_vectors(*np.array(chain).reshape(-1, 2).T)
        if len(chain) > 1 and vector_separation_rad(xyz[0], xyz[-1]) <= EDGE_RAD:
            chain, xyz = chain[:-1], xyz[:-1]
        if _checked_chain(xyz).left_area_sr() > 2 * np.pi:
            chain.reverse()
        object.__setattr__(self, "vertices", tuple(chain))

    @cached_property
    def vertices_xyz(self) -> Floats:
        """Unit vectors of the vertices, shape (n, 3), counter-clockwise."""
        return self._chain.vertices

    @cached_property
    def _chain(self) -> ArcChain:
        return ArcChain(unit_vectors(*np.array(self.vertices).T))

    @cached_property
    def area_sr(self) -> float:
        """Area in steradians, at most 2 pi."""
        return self._chain.left_area_sr()

    @cached_property
    def exterior(self) -> Floats:
        """A unit vector, shape (3,), strictly outside and away from the great circle of every edge.

        Of 500 directions spread over the sphere, and the antipode of the vertices' middle, it is the one with the largest angle to
        the nearest of those great circles whose antipode is outside too: from there to the antipode no arc is defined. (The
        antipode of a hemisphere's outside is inside. There that one position, in float64, is taken to be outside.)
        """
        middle = self.vertices_xyz.sum(axis=0)
        candidates = _spread(500)
        if np.linalg.norm(middle) > EDGE_RAD:
            candidates = np.vstack((-middle / np.linalg.norm(middle), candidates))
        clearance = np.abs(candidates @ self._chain.normals.T).min(axis=1)
        outside: Floats | None = None
        for index in np.argsort(-clearance, kind="stable"):
            candidate: Floats = candidates[index]
            if clearance[index] <= PAD_RAD or self._inside_by_winding(candidate):
                continue
            outside = candidate if outside is None else outside
            if clearance[index] > MIN_CLEARANCE and not self._inside_by_winding(-candidate):
                return candidate
        if outside is None:
            msg = "no position is clearly outside the polygon: its edges are too many or too close together"
            raise QueryValueError(msg)
        return outside

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the polygon or within `EDGE_RAD` of its edge."""
        xyz = unit_vectors(ra, dec)
        return self.contains_xyz(xyz.reshape(-1, 3)).reshape(xyz.shape[:-1])

    def contains_xyz(self, xyz: Floats) -> Bools:
        """Return which unit vectors, shape (n, 3), lie in the polygon or within `EDGE_RAD` of its edge."""
        inside: Bools = np.asarray(self._crossings(xyz) % 2 == 1, dtype=np.bool_)
        # Few positions are this close to the great circle of any edge; only theirs are distances from the edges themselves.
        for part in self._chain.parts(len(xyz)):
            close = part.start + np.flatnonzero((np.abs(xyz[part] @ self._chain.normals.T) <= 2 * EDGE_RAD).any(axis=1))
            inside[close] |= self._chain.nearest_rad(xyz[close]) <= EDGE_RAD
        return inside

    def bounding_circle(self) -> tuple[Floats, float]:
        """Return a circle around the polygon: around the vertices' middle if they are within 90 degrees of it.

        A circle of less than 90 degrees holds the arc between any two points in it, so all the edges, and the smaller side of them.
        """
        middle = self.vertices_xyz.sum(axis=0)
        length = float(np.linalg.norm(middle))
        if length > EDGE_RAD:
            radius = float(vector_separation_rad(self.vertices_xyz, middle / length).max()) + PAD_RAD
            if radius < np.pi / 2 - PAD_RAD:
                return middle / length, radius
        return unit_vectors(0.0, 90.0), float(np.pi)

    def compare(self, centres: Floats, radius_rad: float, margin_rad: float) -> tuple[Bools, Bools]:
        """Compare with circles: by their centres' distances from the edges, exactly."""
        distance = self._chain.nearest_rad(centres)
        inside = np.zeros(len(centres), dtype=np.bool_)
        clear = np.flatnonzero(distance >= radius_rad)
        inside[clear] = self._crossings(centres[clear]) % 2 == 1
        return inside | (distance <= radius_rad + margin_rad), inside

    def _crossings(self, xyz: Floats) -> NDArray[np.int64]:
        """Return how many edges the arc from `exterior` to each position (n, 3) crosses (see the class)."""
        counts = np.empty(len(xyz), dtype=np.int64)
        from_left = self._chain.normals @ self.exterior > 0
        for part in self._chain.parts(len(xyz)):
            a = cross(self.exterior - xyz[part], self.exterior + xyz[part]) @ self.vertices_xyz.T >= 0
            counts[part] = _crossed(a, from_left, xyz[part] @ self._chain.normals.T).sum(axis=1)
        return counts

    def _inside_by_winding(self, point: Floats) -> bool:
        """Whether a point away from all edges' great circles is left of them: seen from the middle of the longest edge."""
        longest = int(np.argmax(self._chain.lengths_rad))
        middle = self.vertices_xyz[longest] + self._chain.ends[longest]
        others = np.arange(len(self.vertices)) != longest
        middle /= np.linalg.norm(middle)
        a = self.vertices_xyz @ cross(point - middle, point + middle) >= 0
        from_left = self._chain.normals @ point > 0
        crossings = (_crossed(a, from_left, self._chain.normals @ middle) & others).sum()
        return bool(from_left[longest]) ^ bool(crossings % 2)


def _crossed(a: Bools, from_left: Bools, to_left: Floats) -> Bools:
    """Return which edges an arc crosses; see `Polygon` for the rule. The last axis is that of the edges.

    ``a`` tells on which side of the arc's plane each edge starts; ``from_left`` whether the arc starts left of each edge's great
    circle; ``to_left`` is positive where it ends left of it.
    """
    b = np.roll(a, -1, axis=-1)
    return np.asarray((a & ~b & ~from_left & (to_left > 0)) | (b & ~a & from_left & (to_left < 0)), dtype=np.bool_)


def adql_box(ra: float, dec: float, width_deg: float, height_deg: float) -> Polygon:
    """Return the polygon of an ADQL BOX.

    ADQL 2.1, 4.2.9: the sizes define a cross at the centre whose arms extend along the coordinate axes there for half the sizes,
    and the sides are great circles that meet the ends of the arms at right angles. So on the plane tangent at the centre (gnomonic
    projection, where great circles are straight) it is the rectangle of half-sides tan(width/2) and tan(height/2).

    Raises
    ------
    QueryValueError
        The centre is not a position, or a size is not between 0 and 180 degrees (at 180 the sides no longer meet).
    """
    checked_position(ra, dec, "centre of a BOX")
    if not (0 < width_deg < 180 and 0 < height_deg < 180):  # noqa: PLR2004 (half a turn)
        msg = f"the width {width_deg} and height {height_deg} of a BOX must lie between 0 and 180 degrees"
        raise QueryValueError(msg)
    lon, lat = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    u, v = np.tan(np.radians(width_deg) / 2), np.tan(np.radians(height_deg) / 2)
    corners = unit_vectors(ra, dec) + np.array([[-u, -v], [u, -v], [u, v], [-u, v]]) @ np.stack((east, north))
    return Polygon(list(zip(*(values.tolist() for values in positions(corners)), strict=True)))


def _spread(count: int) -> Floats:
    """Return directions spread evenly over the sphere (a Fibonacci lattice, turned so that none is a pole or on an axis)."""
    steps = np.arange(count) + 0.5
    turn = np.pi * (1 + np.sqrt(5.0))
    return unit_vectors(np.degrees(steps * turn + 0.7), np.degrees(np.arcsin(1 - 2 * steps / count)))


def _checked_chain(xyz: Floats) -> ArcChain:
    """Return the chain of vertices (n, 3); raise `QueryValueError` unless it bounds a region."""
    if len(xyz) < MIN_VERTICES:
        msg = f"a polygon needs at least {MIN_VERTICES} different vertices, not {len(xyz)}"
        raise QueryValueError(msg)
    chain = ArcChain(xyz)
    for fault, reason in (
        (chain.lengths_rad <= EDGE_RAD, "have no distance"),
        (chain.lengths_rad >= np.pi - ANTIPODAL_RAD, "are antipodes"),
    ):
        if fault.any():
            first = int(np.argmax(fault))
            msg = f"vertices {first + 1} and {(first + 1) % len(xyz) + 1} of a polygon {reason}: no edge runs between them"
            raise QueryValueError(msg)
    pair = chain.first_crossing()
    if pair is not None:
        msg = f"edges {pair[0] + 1} and {pair[1] + 1} of a polygon cross or touch: it does not bound one region"
        raise QueryValueError(msg)
    return chain

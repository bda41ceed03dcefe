"""Distance of rows from one edge of their own HEALPix pixel."""

from dataclasses import dataclass

import numpy as np

from partitioner.face import CURVATURE_PER_SIDE, face_corner, face_vectors, within_pixel
from partitioner.healpix import ORDER, Pixels
from partitioner.sphere import Bools, Floats

PAD = 1e-12
"""Chord (rad) by which a distance may be rounded."""


@dataclass(frozen=True)
class Edge:
    """One of the four edges of a pixel: of constant x or y, where that is least or (``upper``) most.

    ``across`` is the position, in `partitioner.healpix.neighbours`, of the pixel on the other side.
    """

    constant_x: bool
    upper: bool
    across: int


EDGES = (Edge(True, False, 0), Edge(True, True, 4), Edge(False, False, 6), Edge(False, True, 2))  # noqa: FBT003 (the fields say it)
"""South-west, north-east, south-east, north-west."""


def near_edges(healpix29: Pixels, order: int, reach: Floats) -> Bools:
    """Return, shape (4, n) in the sequence of `EDGES`, which edges of their pixels of an order rows may be near.

    ``reach``, shape (n,), is in sides of a pixel; a step of two order-29 pixels allows for the rows' quantisation.
    """
    limit = reach + 2.0 ** (1 + order - ORDER)
    u, v = within_pixel(healpix29, order)
    return np.stack((u <= limit, u >= 1 - limit, v <= limit, v >= 1 - limit))


def within_of_edge(xyz: Floats, healpix29: Pixels, order: int, edge: Edge, distance_rad: float) -> Bools:
    """Return which rows lie within a distance of an edge of the pixel of an order that they are in.

    Parameters
    ----------
    xyz, healpix29
        Unit vectors, shape (n, 3), and order-29 pixels of the rows.
    distance_rad
        At most 0.2 sides of a pixel. The edge must be smooth and its ends out of reach.

    Notes
    -----
    From the point of the edge with the row's other coordinate, two Newton steps go along the edge. Distance squared is convex
    there, curvature times distance being below 0.25. What is compared is the distance from the tangent at the second point, less
    the most that the curve can deviate from it up to the foot: always a lower bound, and after the second step equal to rounding.
    """
    face, x, y = face_corner(order, healpix29 >> (2 * (ORDER - order)))
    u, v = within_pixel(healpix29, order)
    side = 1.0 / (1 << order)
    fixed = (x if edge.constant_x else y) + (side if edge.upper else 0.0)
    low = y if edge.constant_x else x
    along = low + (v if edge.constant_x else u) * side
    offset, tangent = _from_edge(xyz, face, edge, fixed, along)
    along = np.clip(along + _foot(offset, tangent), low, low + side)
    offset, tangent = _from_edge(xyz, face, edge, fixed, along)
    shift2 = _foot(offset, tangent) ** 2 * np.einsum("ij,ij->i", tangent, tangent)
    height = np.sqrt(np.maximum(np.einsum("ij,ij->i", offset, offset) - shift2, 0.0))
    deviation = (1.0 + CURVATURE_PER_SIDE / side) * shift2
    return np.asarray(height - deviation <= 2 * np.sin(distance_rad / 2) + PAD, dtype=np.bool_)


def _from_edge(xyz: Floats, face: Pixels, edge: Edge, fixed: Floats, along: Floats) -> tuple[Floats, Floats]:
    """Return vectors from points of an edge to rows, and tangents of the edge there."""
    points, by_x, by_y = face_vectors(face, fixed, along) if edge.constant_x else face_vectors(face, along, fixed)
    return xyz - points, by_y if edge.constant_x else by_x


def _foot(offset: Floats, tangent: Floats) -> Floats:
    """Return how far along the tangents, in units of the coordinate, the feet of the rows are."""
    foot: Floats = np.einsum("ij,ij->i", offset, tangent) / np.einsum("ij,ij->i", tangent, tangent)
    return foot

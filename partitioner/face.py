"""Coordinates on the twelve base pixels ("faces") of HEALPix, and the curves that are pixels' edges.

A face has coordinates x (towards north-east) and y (towards north-west), both 0 to 1; the edges of every pixel are lines of
constant x or y, which on the sky are neither great nor small circles (Gorski et al. 2005, ApJ 622, 759, section 5). They are
smooth: such lines have kinks on the two parallels ``|z| = 2/3``, but x + y is a whole number there, so that these are at corners.
"""

import numpy as np
from numpy.typing import NDArray

from partitioner.healpix import ORDER, Pixels
from partitioner.sphere import Floats

GRADIENT_PER_RAD = float(np.sqrt(3 / 2 + 6 / np.pi**2))
"""Largest change of x or y per radian on the sky, 1.4519, at the poles. With colatitude t, x is there ``1 - sqrt(6) sin(t/2) f``
with f falling from 1 to 0 over 90 degrees of longitude; its gradient is ``hypot(sqrt(3/2) cos(t/2) f, sqrt(6)/(pi cos(t/2)))``."""

BELT_GRADIENT_PER_RAD = float(np.sqrt(4 * 1.8 / np.pi**2 + 9 / 16 * 5 / 9))
"""The same between the parallels `PARALLEL_DEG`, 1.0208, next to them: x is ``2/pi`` longitude ``+ 3/4 z``, and cos^2(dec) there
is 5/9."""

PARALLEL_DEG = float(np.degrees(np.arcsin(2 / 3)))
"""Absolute declination of the parallels between the equatorial belt and the polar caps, 41.81 degrees."""

CURVATURE_PER_SIDE = 1.6
"""Curvature of an edge is at most this over the side of its pixel in units of x, in radians**-1 (a test scans them:
1.51 for base pixels, below 0.8 for finer ones). Edges that run to a pole are meridians."""

_NORTH_ROW = np.array([2.0] * 4 + [3.0] * 4 + [4.0] * 4)
_EIGHTH = np.array([1.0, 3.0, 5.0, 7.0, 0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0])


def even_bits(bits: Pixels) -> Pixels:
    """Return the number made of the bits 0, 2, 4, ... of each number."""
    bits = bits & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        bits = (bits | (bits >> shift)) & mask
    return bits


def within_pixel(healpix29: Pixels, order: int) -> tuple[Floats, Floats]:
    """Return where order-29 pixels lie in their pixels of ``order``: (u, v) along x and y, 0 to 1, to half an order-29 pixel."""
    low = healpix29 & ((1 << (2 * (ORDER - order))) - 1)
    scale = 1.0 / (1 << (ORDER - order))
    return _scaled(even_bits(low) + 0.5, scale), _scaled(even_bits(low >> 1) + 0.5, scale)


def face_corner(order: int, ipix: Pixels) -> tuple[Pixels, Floats, Floats]:
    """Return (face, x, y) of the southern corners of pixels, where x and y are least."""
    low = ipix & ((1 << (2 * order)) - 1)
    scale = 1.0 / (1 << order)
    return ipix >> (2 * order), _scaled(even_bits(low), scale), _scaled(even_bits(low >> 1), scale)


def face_vectors(face: Pixels, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Return unit vectors at face coordinates, and their derivatives by x and by y; each of shape (n, 3).

    At a pole itself the derivatives are not defined; they are 0 there.
    """
    row = _NORTH_ROW[face] - x - y
    north, south = row < 1, row > 3  # noqa: PLR2004 (rows of faces' corners)
    # In a cap: distance from the pole in units of its edge; else 1.
    polar = np.where(north, row, np.where(south, 4 - row, 1.0))
    third = polar * polar / 3
    z = np.where(north, 1 - third, np.where(south, third - 1, (2 - row) * (2 / 3)))
    cap = north | south
    cos_lat = np.where(cap, polar * np.sqrt((2 - third) / 3), np.sqrt(1 - z * z))
    inverse = 1 / np.maximum(polar, 1e-300)
    lon = (np.pi / 4) * (_EIGHTH[face] + (x - y) * inverse)
    cos_lon, sin_lon = np.cos(lon), np.sin(lon)
    vectors = np.stack((cos_lat * cos_lon, cos_lat * sin_lon, z), axis=-1)
    # d(polar)/dx = d(polar)/dy, as both move along the row.
    d_polar = np.where(north, -1.0, np.where(south, 1.0, 0.0))
    dz = np.where(cap, 2 / 3 * polar, 2 / 3)
    d_cos = -z * dz / np.maximum(cos_lat, 1e-300)
    shear = -(x - y) * inverse * inverse * d_polar
    derivatives = []
    for sign in (1.0, -1.0):
        d_lon = (np.pi / 4) * (sign * inverse + shear) * cos_lat
        derivatives.append(np.stack((d_cos * cos_lon - d_lon * sin_lon, d_cos * sin_lon + d_lon * cos_lon, dz), axis=-1))
    return vectors, derivatives[0], derivatives[1]


def _scaled(numbers: NDArray[np.number], scale: float) -> Floats:
    return np.asarray(numbers * scale, dtype=np.float64)

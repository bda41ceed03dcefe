"""Positions on the sphere: unit vectors, longitudes modulo 360, angular separation."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EDGE_RAD = 1e-12
"""A point this close to the edge of a circle or polygon lies on it: about 0.2 microarcsec, the rounding of a right ascension in
float64 degrees (6e-14 deg) and of the few operations that follow it, with room to spare."""


def reduced_longitude(ra: ArrayLike) -> Floats:
    """Return longitudes (deg) reduced to [0, 360).

    A tiny negative longitude, whose remainder rounds to 360, becomes 0. NaN stays NaN, an infinite one becomes NaN.
    """
    ra = np.asarray(ra, dtype=np.float64)
    if ra.size and ra.min() >= 0.0 and ra.max() < 360.0:  # noqa: PLR2004 (a turn)
        return ra
    with np.errstate(invalid="ignore"):
        reduced = np.mod(ra, 360.0)
    return np.where(reduced >= 360.0, 0.0, reduced)  # noqa: PLR2004 (a turn)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Return unit vectors, shape (..., 3), of positions in degrees; x points to (0, 0), z to the north pole."""
    lon = np.radians(np.asarray(ra, dtype=np.float64))
    lat = np.radians(np.asarray(dec, dtype=np.float64))
    lon, lat = np.broadcast_arrays(lon, lat)
    xyz = np.empty((*lon.shape, 3))
    cos_lat = np.cos(lat)
    np.multiply(np.cos(lon), cos_lat, out=xyz[..., 0])
    np.multiply(np.sin(lon), cos_lat, out=xyz[..., 1])
    np.sin(lat, out=xyz[..., 2])
    return xyz


def positions(xyz: Floats) -> tuple[Floats, Floats]:
    """Return (ra, dec) in degrees, ra in [0, 360), of vectors of any length but 0, shape (..., 3)."""
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    return reduced_longitude(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def angular_separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """Return great-circle distances in degrees, of positions in degrees; arguments broadcast.

    Both halves of the half-angle are sums of squares: ``sin^2(d/2)`` is the haversine of the separation and ``cos^2(d/2)`` that
    from the antipode. So no digits cancel, neither at 1e-9 arcsec nor next to 180 degrees, where the plain haversine is good to
    1e-8 rad only.
    """
    lat1, lat2 = np.radians(np.asarray(dec1, dtype=np.float64)), np.radians(np.asarray(dec2, dtype=np.float64))
    half_lon = np.radians(np.asarray(ra2, dtype=np.float64) - np.asarray(ra1, dtype=np.float64)) / 2
    cos_cos = np.cos(lat1) * np.cos(lat2)
    sin2 = np.sin((lat2 - lat1) / 2) ** 2 + cos_cos * np.sin(half_lon) ** 2
    cos2 = np.sin((lat2 + lat1) / 2) ** 2 + cos_cos * np.cos(half_lon) ** 2
    separation: Floats = np.degrees(2 * np.arctan2(np.sqrt(sin2), np.sqrt(cos2)))
    return separation


def vector_separation_rad(a: Floats, b: Floats) -> Floats:
    """Return angles in radians between unit vectors of shapes (..., 3), good to about 2e-16 rad at any separation."""
    difference, total = a - b, a + b
    chord2 = np.einsum("...i,...i->...", difference, difference)
    antichord2 = np.einsum("...i,...i->...", total, total)
    angle: Floats = 2 * np.arctan2(np.sqrt(chord2), np.sqrt(antichord2))
    return angle


def cross(a: Floats, b: Floats) -> Floats:
    """Return vector products along the last axis, of length 3; `numpy.cross` takes ten times as long for a few vectors."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1)

"""Where the objects of the synthetic survey are: all over the sky, in a dense field, at a pole, across RA = 0, at corners of
HEALPix pixels, in close pairs.
"""

from dataclasses import dataclass

import healpy
import numpy as np

from tests.oracle.sphere import displaced
from tests.oracle.sphere import positions as of_vectors
from tests.support.drawing import Draw

DENSE_FIELD_DEG = (266.4, -28.9)
"""Centre of the dense field, ICRS; the bulge of the Galaxy."""

DENSE_RADIUS_DEG = 1.0

SHARES = {"dense": 0.25, "pole": 0.08, "meridian": 0.07, "corner": 0.04}
"""Shares of the objects; the others are everywhere. With 5,000,000 objects, the dense field has 400,000 a square degree."""

POLE_RADIUS_DEG = 0.5

CORNER_ORDERS = 5
"""Corners are those of pixels of order 0 and up; a corner is one of every finer order, too, so chunks meet there."""

CORNER_RADIUS_ARCSEC = 2.0
MERIDIAN_WIDTH_DEG, MERIDIAN_HEIGHT_DEG = 0.3, 2.0

PAIR_EVERY = 20
"""Of so many objects, the last is a companion of the one before it."""

FARTHEST_COMPANION_ARCSEC = 3.0

UNPLACED_SHARE = 0.003
"""Share of the objects that have no position."""


def is_companion(index):
    return index % PAIR_EVERY == PAIR_EVERY - 1


@dataclass(frozen=True)
class Places:
    """Positions of the objects that follow from a seed."""

    seed: int
    widening: float = 1.0
    """How many times as large the area of each field is, so that as many times the objects lie as densely in it. Corners stay where
    they are: as many objects as before are there, and the others of that share everywhere, where they do lie more densely."""

    def of(self, index):
        """Return ra and dec (deg) of the objects of numbers ``index``, NaN where they have none."""
        companion = is_companion(index)
        ra, dec = self._own(np.where(companion, index - 1, index))
        draw = Draw(self.seed, "companion", index.astype(np.uint64))
        arcsec = np.where(companion, draw.uniform("distance", 0.01, FARTHEST_COMPANION_ARCSEC), 0.0)
        near = displaced(ra, dec, arcsec / 3600, draw.uniform("direction", 0, 2 * np.pi))
        ra, dec = (np.where(companion, there, here) for there, here in zip(near, (ra, dec), strict=True))
        unplaced = draw.chance("unplaced", UNPLACED_SHARE)
        return np.where(unplaced, np.nan, ra), np.where(unplaced, np.nan, dec)

    def _own(self, index):
        draw = Draw(self.seed, "place", index.astype(np.uint64))
        kind = draw.uniform("kind")
        ra = draw.uniform("ra", 0, 360)
        dec = np.degrees(np.arcsin(draw.uniform("dec", -1, 1)))
        first, second = draw.uniform("first"), draw.uniform("second")
        start = 0.0
        for name, share in (SHARES | {"corner": SHARES["corner"] / self.widening}).items():
            here = (kind >= start) & (kind < start + share)
            ra[here], dec[here] = _PLACES[name](first[here], second[here], self.widening)
            start += share
        return ra, dec


def _dense(first, second, widening):
    lon, lat = (np.full_like(first, value) for value in DENSE_FIELD_DEG)
    return displaced(lon, lat, _away(DENSE_RADIUS_DEG, first, widening), 2 * np.pi * second)


def _pole(first, second, widening):
    return 360 * first, 90 - _away(POLE_RADIUS_DEG, second, widening)


def _away(radius_deg, share, widening):
    """Return distances (deg) from the centre of a cap within which a share of its area lies."""
    if widening == 1:
        # So small a cap may be flat; files of the tests tell of its rows.
        return radius_deg * np.sqrt(share)
    return np.degrees(2 * np.arcsin(np.sqrt(widening * share) * np.sin(np.radians(radius_deg) / 2)))


def _meridian(first, second, widening):
    if widening == 1:
        return (MERIDIAN_WIDTH_DEG * (2 * first - 1)) % 360, MERIDIAN_HEIGHT_DEG * (2 * second - 1)
    sine = np.sin(np.radians(MERIDIAN_HEIGHT_DEG))
    top = min(1.0, sine * widening**0.5)
    width_deg = MERIDIAN_WIDTH_DEG * widening * sine / top
    return (width_deg * (2 * first - 1)) % 360, np.degrees(np.arcsin(top * (2 * second - 1)))


def _corner(first, second, _widening):
    """Return places beside corners; the digits of ``first`` choose order, pixel and corner."""
    order, rest = np.divmod(first * CORNER_ORDERS, 1)
    lon, lat = np.empty_like(first), np.empty_like(first)
    for each in range(CORNER_ORDERS):
        here = order == each
        pixel, rest_of_pixel = np.divmod(rest[here] * 12 * 4**each, 1)
        vertices = healpy.boundaries(2**each, pixel.astype(np.int64), step=1, nest=True).reshape(-1, 3, 4)
        corner = (rest_of_pixel * 4).astype(np.int64)
        lon[here], lat[here] = of_vectors(vertices[np.arange(len(corner)), :, corner])
    away = CORNER_RADIUS_ARCSEC / 3600 * np.sqrt(second * 997 % 1)
    return displaced(lon, lat, away, 2 * np.pi * second)


_PLACES = {"dense": _dense, "pole": _pole, "meridian": _meridian, "corner": _corner}

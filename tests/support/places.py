"""Where the objects of the synthetic survey are: all over the sky, in a dense field, at a pole, across RA = 0, in close pairs."""

import numpy as np

from tests.oracle.sphere import displaced
from tests.support.drawing import Draw

DENSE_FIELD_DEG = (266.4, -28.9)
"""Centre of the dense field, ICRS; the bulge of the Galaxy."""

DENSE_RADIUS_DEG = 1.0

SHARES = {"dense": 0.25, "pole": 0.08, "meridian": 0.07}
"""Shares of the objects; the others are everywhere. With 5,000,000 objects, the dense field has 400,000 a square degree."""

POLE_RADIUS_DEG = 0.5
MERIDIAN_WIDTH_DEG, MERIDIAN_HEIGHT_DEG = 0.3, 2.0

PAIR_EVERY = 20
"""Of so many objects, the last is a companion of the one before it."""

FARTHEST_COMPANION_ARCSEC = 3.0

UNPLACED_SHARE = 0.003
"""Share of the objects that have no position."""


def is_companion(index):
    return index % PAIR_EVERY == PAIR_EVERY - 1


def positions(seed, index):
    """Return ra and dec (deg) of the objects of numbers ``index``, NaN where they have none."""
    companion = is_companion(index)
    ra, dec = _own(seed, np.where(companion, index - 1, index))
    draw = Draw(seed, "companion", index.astype(np.uint64))
    arcsec = np.where(companion, draw.uniform("distance", 0.01, FARTHEST_COMPANION_ARCSEC), 0.0)
    near = displaced(ra, dec, arcsec / 3600, draw.uniform("direction", 0, 2 * np.pi))
    ra, dec = (np.where(companion, there, here) for there, here in zip(near, (ra, dec), strict=True))
    unplaced = draw.chance("unplaced", UNPLACED_SHARE)
    return np.where(unplaced, np.nan, ra), np.where(unplaced, np.nan, dec)


def _own(seed, index):
    draw = Draw(seed, "place", index.astype(np.uint64))
    kind = draw.uniform("kind")
    ra = draw.uniform("ra", 0, 360)
    dec = np.degrees(np.arcsin(draw.uniform("dec", -1, 1)))
    first, second = draw.uniform("first"), draw.uniform("second")
    start = 0.0
    for name, share in SHARES.items():
        here = (kind >= start) & (kind < start + share)
        ra[here], dec[here] = _PLACES[name](first[here], second[here])
        start += share
    return ra, dec


def _dense(first, second):
    lon, lat = (np.full_like(first, value) for value in DENSE_FIELD_DEG)
    return displaced(lon, lat, DENSE_RADIUS_DEG * np.sqrt(first), 2 * np.pi * second)


def _pole(first, second):
    return 360 * first, 90 - POLE_RADIUS_DEG * np.sqrt(second)


def _meridian(first, second):
    return (MERIDIAN_WIDTH_DEG * (2 * first - 1)) % 360, MERIDIAN_HEIGHT_DEG * (2 * second - 1)


_PLACES = {"dense": _dense, "pole": _pole, "meridian": _meridian}

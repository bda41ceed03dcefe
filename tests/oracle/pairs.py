"""Rows of database ``pairs``: points on edges of pixels, and neighbours of them a billionth of a radius inside of it or outside."""

import healpy
import numpy as np
import pyarrow as pa

from tests.oracle.edges import corners
from tests.oracle.sphere import displaced, positions

SEED = 20261123

OVERLAP_DEG = 0.02

RADII_DEG = (1 / 3600, OVERLAP_DEG, 0.3)
"""Within the overlap, as wide as it, and beyond it."""

NEARER = 1e-9
"""How far from the radius, in radii: what doubles of degrees still tell apart at 1 arcsec (there they are 2e-10 apart)."""

ON_EDGES = 7
"""Points on each side of a pixel, its corners included: an odd number has the middle of the side."""

SPECIAL = (
    *((0.0, 0.0), (0.0, 45.0), (0.0, -89.5), (360 - 2**-44, -30.0), (1e-13, 60.0), (0.0, 41.810314895778596)),
    *((0.0, 90.0), (77.0, 90.0), (0.0, -90.0), (301.5, -90.0), (12.0, 90 - 1e-9), (200.0, -90 + 0.7 / 3600)),
)
"""Longitude and latitude (deg) on RA = 0, and at the poles under several longitudes."""


def anchors():
    """Return the points, as longitude and latitude."""
    edges = [positions(healpy.boundaries(2, pixel, step=(ON_EDGES - 1), nest=True).T) for pixel in range(0, 48, 5)]
    finer = [positions(healpy.boundaries(8, pixel, step=2, nest=True).T) for pixel in range(3, 768, 97)]
    return np.concatenate([np.array(SPECIAL).T, corners(1, range(48)), *map(np.array, edges), *map(np.array, finer)], axis=1)


def neighbours(ra, dec, random):
    """Return for each point and radius one position a little nearer, and one a little farther, in any direction."""
    found = []
    for radius_deg in RADII_DEG:
        for sign in (-1, 1):
            distance = np.full(len(ra), radius_deg * (1 + sign * NEARER))
            found.append(displaced(ra, dec, distance, random.uniform(0, 2 * np.pi, len(ra))))
    return np.concatenate(found, axis=1)


def rows():
    """Return the tables by their names."""
    random = np.random.default_rng(SEED)
    points = anchors()
    own, others = neighbours(*points, random), neighbours(*points, random)
    return {"anchor": _table("anchor_id", np.concatenate([points, own], axis=1)), "partner": _table("partner_id", others)}


def _table(key, places):
    ra, dec = places
    return pa.table({key: np.arange(len(ra), dtype=np.int32), "ra": np.where(ra >= 360, 0.0, ra), "dec": dec})


def separations(one, other):
    """Return angular separations (deg) with more digits than doubles have, of positions of shape (n, 2) in degrees."""
    (ra, dec), (ra0, dec0) = (np.radians(np.asarray(each, dtype=np.longdouble)).T for each in (one, other))
    ra, dec, ra0, dec0 = (np.asarray(each, dtype=np.longdouble) for each in (ra, dec, ra0, dec0))
    half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


def near_pairs(one, other, reach_deg):
    """Return the places of all pairs within a reach, and their separations: every one is measured, no tree is trusted."""
    vectors = [_unit_vectors(each) for each in (one, other)]
    found = np.argwhere(vectors[0] @ vectors[1].T > np.cos(np.radians(reach_deg)) - 1e-9)
    measured = separations(one[found[:, 0]], other[found[:, 1]])
    kept = measured <= reach_deg
    return found[kept], measured[kept]


def _unit_vectors(places):
    ra, dec = np.radians(places).T
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)

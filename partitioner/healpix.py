"""The one door to the HEALPix libraries. Numbering is NESTED everywhere (Gorski et al. 2005, ApJ 622, 759).

healpy alone gives the pixel of a row: implementations disagree on about one point in 10^7 at order 29, and ingest and czar must
agree. hpgeom, with the same numbering, gives everything that starts from a pixel.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib import util
from importlib.machinery import PathFinder

import hpgeom
import numpy as np
from numpy.typing import ArrayLike, NDArray

from partitioner.sphere import Floats, reduced_longitude

Pixels = NDArray[np.int64]

ORDER = 29
"""Order of ``_healpix_29``: the finest whose pixel numbers fit 64 bits with NUNIQ (IVOA MOC 2.0, 4.2); pixels of 0.4 mas."""

BASE_PIXELS = 12
"""Pixels of order 0."""

PIXELS_29 = BASE_PIXELS << (2 * ORDER)
"""Pixels of order 29 on the sphere."""

MAX_LATITUDE_DEG = 90.0

MIN_CIRCLE_RAD = 1e-6
"""hpgeom compares cosines: at this radius, 0.2 arcsec, they still tell distances apart to 1e-4 of it; at 1e-9 it finds no pixel."""

MAX_CIRCLE_RAD = np.pi / 2
"""hpgeom 1.6.1 misses pixels of circles above about 132 degrees, where radius and the radius of a base pixel exceed half a turn."""

SPHERE_DEG2 = 129600.0 / np.pi
"""Area of the sphere in square degrees."""


def pixel_of(ra: ArrayLike, dec: ArrayLike, order: int = ORDER) -> Pixels:
    """Return the pixels of positions.

    Parameters
    ----------
    ra, dec
        Degrees. ``ra`` is taken modulo 360, and gives the same pixel before and after `reduced_longitude`.
    order
        HEALPix order, 0 to 29.

    Raises
    ------
    ValueError
        A position is NaN or infinite, or ``dec`` lies outside [-90, 90]. Callers test rows beforehand, to say which row.
    """
    lon, lat = reduced_longitude(ra), np.asarray(dec, dtype=np.float64)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        msg = "a position is NaN or infinite: it has no HEALPix pixel"
        raise ValueError(msg)
    if (np.abs(lat) > MAX_LATITUDE_DEG).any():
        msg = "a latitude is out of range: it is from -90 to 90 degrees"
        raise ValueError(msg)
    return np.asarray(_ang2pix_nest()(1 << order, np.pi / 2 - np.radians(lat), np.radians(lon)), dtype=np.int64)


def nuniq_of(order: ArrayLike, ipix: ArrayLike) -> Pixels:
    """Return NUNIQ numbers ``4 * 4**order + ipix`` (IVOA MOC 2.0, 4.2)."""
    return np.left_shift(np.int64(4), 2 * np.asarray(order, dtype=np.int64)) + np.asarray(ipix, dtype=np.int64)


def pixels_of_nuniq(nuniq: ArrayLike) -> tuple[Pixels, Pixels]:
    """Return (order, ipix) of NUNIQ numbers.

    Raises
    ------
    ValueError
        A number is no NUNIQ of an order from 0 to 29.
    """
    nuniq = np.asarray(nuniq, dtype=np.int64)
    firsts = np.left_shift(np.int64(4), 2 * np.arange(ORDER + 1, dtype=np.int64))
    order = np.searchsorted(firsts, nuniq, side="right").astype(np.int64) - 1
    ipix = nuniq - firsts[order]
    wrong = (order < 0) | (ipix >= np.left_shift(np.int64(BASE_PIXELS), 2 * np.maximum(order, 0)))
    if wrong.any():
        msg = f"{int(np.atleast_1d(nuniq)[np.atleast_1d(wrong)][0])} is not the NUNIQ of a HEALPix pixel"
        raise ValueError(msg)
    return order, ipix


def range_starts(order: ArrayLike, ipix: ArrayLike) -> Pixels:
    """Return the first order-29 pixel within each pixel; that of ``ipix + 1`` is the half-open end."""
    return np.left_shift(np.asarray(ipix, dtype=np.int64), 2 * (ORDER - np.asarray(order, dtype=np.int64)))


def pixel_centre(order: int, ipix: ArrayLike) -> tuple[Floats, Floats]:
    """Return (ra, dec) in degrees of the centres of pixels."""
    ra, dec = hpgeom.pixel_to_angle(1 << order, np.asarray(ipix, dtype=np.int64), nest=True, lonlat=True, degrees=True)
    return np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)


def pixel_centre_xyz(order: int, ipix: Pixels) -> Floats:
    """Return the unit vectors, shape (n, 3), of the centres of n pixels."""
    return np.stack(hpgeom.pixel_to_vector(1 << order, ipix, nest=True), axis=-1)


def boundaries(order: int, ipix: ArrayLike, step: int = 1) -> tuple[Floats, Floats]:
    """Return (ra, dec) in degrees, shape (..., 4 * step), of points on the edges of pixels; every ``step``-th is a corner."""
    ra, dec = hpgeom.boundaries(1 << order, np.asarray(ipix, dtype=np.int64), step=step, nest=True, lonlat=True, degrees=True)
    return np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)


def neighbours(order: int, ipix: ArrayLike) -> Pixels:
    """Return the pixels that touch each pixel, shape (..., 8): SW, W, NW, N, NE, E, SE, S; -1 where three pixels meet."""
    return np.asarray(hpgeom.neighbors(1 << order, np.asarray(ipix, dtype=np.int64), nest=True), dtype=np.int64)


def circle_ranges(ra: float, dec: float, radius_rad: float) -> Pixels:
    """Return half-open ranges, shape (n, 2), of a superset of the order-29 pixels that share a point with a circle.

    The radius must be at most `MAX_CIRCLE_RAD`; one below `MIN_CIRCLE_RAD` is raised to that. The pixels are an eighth of it wide
    or less, so that about 15 % of the superset lies outside.
    """
    radius = max(radius_rad, MIN_CIRCLE_RAD)
    order = max(int(np.ceil(np.log2(8 / radius))), 0)
    lon, lat = float(reduced_longitude(ra)), float(dec)
    ranges = hpgeom.query_circle(1 << order, lon, lat, np.degrees(radius), inclusive=True, fact=4, return_pixel_ranges=True)
    return np.asarray(ranges, dtype=np.int64) << (2 * (ORDER - order))


@cache
def _ang2pix_nest() -> Callable[..., ArrayLike]:
    """Return healpy's own ``(nside, colatitude, longitude)`` -> pixel, angles in radians.

    Its compiled module is loaded by itself, in 2 ms: the package around it takes half a second, for astropy and its maps.
    """
    package = util.find_spec("healpy")
    found = PathFinder.find_spec("_healpy_pixel_lib", package.submodule_search_locations) if package else None
    if found is None or found.loader is None:
        import healpy  # noqa: PLC0415 (only where a release of healpy keeps its functions elsewhere)

        return partial(healpy.ang2pix, nest=True)
    library = util.module_from_spec(found)
    found.loader.exec_module(library)
    function: Callable[..., ArrayLike] = library._ang2pix_nest  # noqa: SLF001 (the ufunc that `healpy.ang2pix` calls with these arguments)
    return function

"""What every region of the sky can do: test positions, and be covered by HEALPix pixels."""

from abc import ABC, abstractmethod

import hpgeom
import numpy as np
from numpy.typing import ArrayLike

from partitioner.healpix import BASE_PIXELS, ORDER, Pixels, neighbours, pixel_centre_xyz, pixel_of, range_starts
from partitioner.ranges import PixelRanges
from partitioner.sphere import Bools, Floats, positions
from qserv.errors import QueryValueError

PAD_RAD = 1e-11
"""A cover goes this much (2 microarcsec) beyond its region: far more than the rounding that decides the pixel of a row, or whether
a row lies on an edge (`partitioner.sphere.EDGE_RAD`), far less than a pixel of order 29."""

RING_RAD = 0.688
"""A disc of this radius over ``2**order`` lies within the pixel of its centre and the 8 around it. The coordinates of a base pixel
change by at most sqrt(3/2 + 6/pi^2) = 1.4519 of a pixel's side per radian (`partitioner.face`); 1 / 1.4519 = 0.6888."""

MAX_PIXELS = 2048
"""A cover looks at no more undecided pixels of one order than this, whatever the region: about 2 ms."""

EXCESS = 0.25
"""A cover is fine enough when its undecided pixels are this part of it; about half of their area lies outside the region."""


def checked_position(ra: float, dec: float, what: str) -> None:
    """Raise `QueryValueError` unless a position in degrees is finite and its declination within [-90, 90]."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        msg = f"the {what} ({ra}, {dec}) is not finite"
        raise QueryValueError(msg)
    if not -90 <= dec <= 90:  # noqa: PLR2004 (the poles)
        msg = f"the declination {dec} of the {what} is outside -90 to 90 degrees"
        raise QueryValueError(msg)


def checked_margin_rad(margin_deg: float) -> float:
    """Return a margin in radians, with `PAD_RAD` added; raise `QueryValueError` if it is negative or not finite."""
    if not (np.isfinite(margin_deg) and margin_deg >= 0):
        msg = f"the margin of {margin_deg} degrees around a region is not a finite number >= 0"
        raise QueryValueError(msg)
    return float(np.radians(margin_deg)) + PAD_RAD


class Region(ABC):
    """A closed region of the sky: its edge belongs to it. Longitudes and latitudes are degrees, ICRS."""

    @abstractmethod
    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the region or on its edge. ``ra`` is taken modulo 360; NaN is in no region."""

    @abstractmethod
    def bounding_circle(self) -> tuple[Floats, float]:
        """Return centre (unit vector, shape (3,)) and radius (rad) of a circle around the region; a negative radius if empty."""

    @abstractmethod
    def compare(self, centres: Floats, radius_rad: float, margin_rad: float) -> tuple[Bools, Bools]:
        """Compare the region with circles of one radius around ``centres``, unit vectors of shape (n, 3).

        Returns
        -------
        tuple
            Which circles may hold a point within ``margin_rad`` of the region: never False for one that does; and which circles
            lie within the region: never True for one that does not.
        """

    def ranges(self, margin_deg: float = 0.0, *, max_pixels: int = MAX_PIXELS) -> PixelRanges:
        """Return a superset of the order-29 pixels that hold a point of the region or within ``margin_deg`` of it.

        Pixels are split until the undecided ones are a small part of the cover, or more than ``max_pixels``.

        Raises
        ------
        QueryValueError
            ``margin_deg`` is negative or not finite.
        """
        margin = checked_margin_rad(margin_deg)
        centre, radius = self.bounding_circle()
        if radius < 0:
            return PixelRanges.of([])
        order, pixels = _start(centre, radius + margin)
        inside: list[Pixels] = []
        inside_area, area = 0.0, 4.0**-order
        while True:
            centres = pixel_centre_xyz(order, pixels)
            circumradius = float(np.radians(hpgeom.max_pixel_radius(1 << order)))
            near, within = self.compare(centres, circumradius, margin)
            inside.append(_ranges(order, pixels[within]))
            inside_area += area * int(within.sum())
            pixels = pixels[near & ~within]
            open_area = area * len(pixels)
            if order == ORDER or len(pixels) * 2 > max_pixels or open_area <= EXCESS * (inside_area + open_area):
                break
            pixels = (4 * pixels[:, np.newaxis] + np.arange(4)).ravel()
            order, area = order + 1, area / 4
        return PixelRanges.of(np.concatenate([*inside, _ranges(order, pixels)]))


def _start(centre: Floats, radius_rad: float) -> tuple[int, Pixels]:
    """Return an order and the pixels of it that hold every point within a radius of a position: at most 192."""
    if radius_rad >= RING_RAD:
        order, pixels = 0, np.arange(BASE_PIXELS, dtype=np.int64)
    else:
        order = min(int(np.log2(RING_RAD / radius_rad)), ORDER)
        own = pixel_of(*positions(centre), order)
        around = np.append(neighbours(order, own), own)
        pixels = np.unique(around[around >= 0])
    # No cover is good enough at the first two orders, and to compare 9 pixels takes as long as to compare 144.
    deeper = min(2, ORDER - order)
    return order + deeper, np.add.outer(pixels << (2 * deeper), np.arange(4**deeper)).ravel()


def _ranges(order: int, pixels: Pixels) -> Pixels:
    return np.stack((range_starts(order, pixels), range_starts(order, pixels + 1)), axis=1)

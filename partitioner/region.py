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

EXCESS = 0.15
"""A cover is fine enough when its undecided pixels are this part of it; about half of their area lies outside the region."""


def checked_position(ra: float, dec: float, what: str) -> None:
    """Raise `QueryValueError` unless a position in degrees is finite and its declination within [-90, 90]."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        msg = f"the {what} ({ra}, {dec}) is not finite"
        raise QueryValueError(msg)
    if not -90 <= dec <= 90:  # noqa: PLR2004 (the poles)
        msg = f"the declination {dec} of the {what} is outside -90 to 90 degrees"
        raise QueryValueError(msg)


class Region(ABC):
    """A closed region of the sky: its edge belongs to it. Longitudes and latitudes are degrees, ICRS."""

    @abstractmethod
    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the region or on its edge. ``ra`` is taken modulo 360; NaN is in no region."""

    @abstractmethod
    def bounding_circle(self) -> tuple[Floats, float]:
        """Return centre (unit vector, shape (3,)) and radius (rad) of a circle around the region; a negative radius if empty."""

    @abstractmethod
    def touches(self, centres: Floats, radius_rad: float) -> Bools:
        """Return which circles around ``centres`` (n, 3) may share a point with the region: never False where one does."""

    @abstractmethod
    def encloses(self, centres: Floats, radius_rad: float) -> Bools:
        """Return which circles around ``centres`` (n, 3) surely lie within the region: never True where one does not."""

    def ranges(self, margin_deg: float = 0.0, max_pixels: int = MAX_PIXELS) -> PixelRanges:
        """Return a superset of the order-29 pixels that hold a point of the region or within ``margin_deg`` of it.

        Pixels are split until the undecided ones are a small part of the cover, or more than ``max_pixels``.

        Raises
        ------
        QueryValueError
            ``margin_deg`` is negative or not finite.
        """
        if not (np.isfinite(margin_deg) and margin_deg >= 0):
            msg = f"the margin of {margin_deg} degrees around a region is not a finite number >= 0"
            raise QueryValueError(msg)
        margin = float(np.radians(margin_deg)) + PAD_RAD
        centre, radius = self.bounding_circle()
        if radius < 0:
            return PixelRanges.of([])
        order, pixels = _start(centre, radius + margin)
        inside: list[Pixels] = []
        inside_area, side = 0.0, 4.0**-order
        while True:
            centres = pixel_centre_xyz(order, pixels)
            circumradius = float(np.radians(hpgeom.max_pixel_radius(1 << order)))
            near = self.touches(centres, circumradius + margin)
            pixels, centres = pixels[near], centres[near]
            within = self.encloses(centres, circumradius)
            if within.any():
                inside.append(_ranges(order, pixels[within]))
                inside_area += side * int(within.sum())
                pixels = pixels[~within]
            open_area = side * len(pixels)
            if order == ORDER or len(pixels) * 2 > max_pixels or open_area <= EXCESS * (inside_area + open_area):
                break
            pixels = (4 * pixels[:, np.newaxis] + np.arange(4)).ravel()
            order, side = order + 1, side / 4
        return PixelRanges.of(np.concatenate([*inside, _ranges(order, pixels)]))


def _start(centre: Floats, radius_rad: float) -> tuple[int, Pixels]:
    """Return an order and the few pixels of it that hold every point within a radius of a position."""
    if radius_rad >= RING_RAD:
        return 0, np.arange(BASE_PIXELS, dtype=np.int64)
    order = min(int(np.log2(RING_RAD / radius_rad)), ORDER)
    own = pixel_of(*positions(centre), order)
    around = np.append(neighbours(order, own), own)
    return order, np.unique(around[around >= 0])


def _ranges(order: int, pixels: Pixels) -> Pixels:
    return np.stack((range_starts(order, pixels), range_starts(order, pixels + 1)), axis=1)

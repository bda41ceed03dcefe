"""Circles (cones) on the sky."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from partitioner.healpix import MAX_CIRCLE_RAD, circle_ranges
from partitioner.ranges import PixelRanges
from partitioner.region import MAX_PIXELS, Region, checked_margin_rad, checked_position
from partitioner.sphere import EDGE_RAD, Bools, Floats, angular_separation_deg, unit_vectors, vector_separation_rad
from qserv.errors import QueryValueError


@dataclass(frozen=True)
class Circle(Region):
    """All positions within ``radius_deg`` of (``ra``, ``dec``); one that is beyond it by rounding alone lies on the edge.

    Raises
    ------
    QueryValueError
        The centre is not a position, or the radius is not within 0 to 180 degrees.
    """

    ra: float
    dec: float
    radius_deg: float

    def __post_init__(self) -> None:
        checked_position(self.ra, self.dec, "centre of a circle")
        if not 0 <= self.radius_deg <= 180:  # noqa: PLR2004 (half a turn)
            msg = f"the radius {self.radius_deg} of a circle is outside 0 to 180 degrees"
            raise QueryValueError(msg)

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the circle or within `EDGE_RAD` of its edge."""
        separation = angular_separation_deg(self.ra, self.dec, ra, dec)
        return np.asarray(separation <= self.radius_deg + np.degrees(EDGE_RAD), dtype=np.bool_)

    def bounding_circle(self) -> tuple[Floats, float]:
        """Return the circle itself."""
        return unit_vectors(self.ra, self.dec), float(np.radians(self.radius_deg))

    def compare(self, centres: Floats, radius_rad: float, margin_rad: float) -> tuple[Bools, Bools]:
        """Compare with other circles, exactly."""
        centre, radius = self.bounding_circle()
        separation = vector_separation_rad(centres, centre)
        return (
            np.asarray(separation <= radius + radius_rad + margin_rad, dtype=np.bool_),
            np.asarray(separation + radius_rad <= radius, dtype=np.bool_),
        )

    def ranges(self, margin_deg: float = 0.0, *, max_pixels: int = MAX_PIXELS) -> PixelRanges:
        """Return a superset of the order-29 pixels within ``margin_deg`` of the circle: by hpgeom, in about 0.1 ms, if it can."""
        radius = float(np.radians(self.radius_deg)) + checked_margin_rad(margin_deg)
        if radius <= MAX_CIRCLE_RAD:
            return PixelRanges.of(circle_ranges(self.ra, self.dec, radius))
        return super().ranges(margin_deg, max_pixels=max_pixels)

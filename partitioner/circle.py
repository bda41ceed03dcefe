"""Circles (cones) on the sky."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from partitioner.region import Region, checked_position
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

    def touches(self, centres: Floats, radius_rad: float) -> Bools:
        """Return which circles share a point with this one."""
        centre, radius = self.bounding_circle()
        return np.asarray(vector_separation_rad(centres, centre) <= radius + radius_rad, dtype=np.bool_)

    def encloses(self, centres: Floats, radius_rad: float) -> Bools:
        """Return which circles lie within this one."""
        centre, radius = self.bounding_circle()
        return np.asarray(vector_separation_rad(centres, centre) + radius_rad <= radius, dtype=np.bool_)

"""Ellipses on the sky, as of ``qserv_areaspec_ellipse`` and ``scisql_s2PtInEllipse``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from partitioner.region import PAD_RAD, Region, checked_position
from partitioner.sphere import Bools, Floats, unit_vectors
from qserv.errors import QueryValueError

MAX_SEMI_MAJOR_DEG = 10.0
"""Limit of ``scisql_s2PtInEllipse``: beyond it the projection is no longer close to distances on the sphere."""


@dataclass(frozen=True)
class Ellipse(Region):
    """Positions whose orthographic projection onto the tangent plane at the centre lies in an ellipse, edge included.

    With n and e the components of the unit vector along north and east at the centre, ``x = n cos(PA) + e sin(PA)`` and
    ``y = e cos(PA) - n sin(PA)``, a position is inside where ``(x/a)^2 + (y/b)^2 <= 1``, a and b being the semi-axes in radians:
    the formula of scisql 0.3. scisql also finds the mirror image on the far side of the sky; here only the near hemisphere counts.

    Attributes
    ----------
    ra, dec
        Centre, degrees.
    semi_major_deg, semi_minor_deg
        Degrees (scisql and Qserv take arcsec).
    position_angle_deg
        Of the major axis, from north towards east.

    Raises
    ------
    QueryValueError
        The centre is not a position, or not ``0 < semi_minor_deg <= semi_major_deg <= 10``, or the angle is not finite.
    """

    ra: float
    dec: float
    semi_major_deg: float
    semi_minor_deg: float
    position_angle_deg: float

    def __post_init__(self) -> None:
        checked_position(self.ra, self.dec, "centre of an ellipse")
        if not 0 < self.semi_minor_deg <= self.semi_major_deg <= MAX_SEMI_MAJOR_DEG:
            msg = (
                f"the semi-axes {self.semi_major_deg} and {self.semi_minor_deg} degrees of an ellipse must satisfy "
                f"0 < semi-minor <= semi-major <= {MAX_SEMI_MAJOR_DEG:g}"
            )
            raise QueryValueError(msg)
        if not np.isfinite(self.position_angle_deg):
            msg = f"the position angle {self.position_angle_deg} of an ellipse is not finite"
            raise QueryValueError(msg)

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the ellipse or on its edge."""
        x, y, z = self._projected(unit_vectors(ra, dec))
        a, b = np.radians(self.semi_major_deg), np.radians(self.semi_minor_deg)
        return np.asarray(((x / a) ** 2 + (y / b) ** 2 <= 1.0) & (z > 0), dtype=np.bool_)

    def bounding_circle(self) -> tuple[Floats, float]:
        """Return a circle around the ellipse: the projection shortens the semi-major axis, so it reaches to asin(a)."""
        return unit_vectors(self.ra, self.dec), float(np.arcsin(np.radians(self.semi_major_deg))) + PAD_RAD

    def compare(self, centres: Floats, radius_rad: float, margin_rad: float) -> tuple[Bools, Bools]:
        """Compare with circles on the plane, where distances are shorter than on the sphere, so lower bounds of those.

        The distance of a point p from a convex set is at least ``p.u - h(u)`` for any direction u, h being the set's support
        function; u is taken along the gradient of the quadratic form and along both axes. Inside, the square root of the form
        changes by at most ``1/b`` per radian.
        """
        x, y, z = self._projected(centres)
        a, b = np.radians(self.semi_major_deg), np.radians(self.semi_minor_deg)
        form = np.hypot(x / a, y / b)
        gradient = np.maximum(np.hypot(x / a**2, y / b**2), 1e-300)
        distance = np.maximum.reduce([form * (form - 1) / gradient, np.abs(x) - a, np.abs(y) - b])
        # From the far side it is at least as far as to the near one.
        distance = np.maximum(distance, np.arcsin(np.clip(-z, 0.0, 1.0)))
        near = np.asarray(distance <= radius_rad + margin_rad, dtype=np.bool_)
        return near, np.asarray((z > 0) & ((1 - form) * b >= radius_rad), dtype=np.bool_)

    def _projected(self, xyz: Floats) -> tuple[Floats, Floats, Floats]:
        """Return components along the major axis, along the minor axis and towards the centre."""
        lon, lat, angle = np.radians(self.ra), np.radians(self.dec), np.radians(self.position_angle_deg)
        east = np.array([-np.sin(lon), np.cos(lon), 0.0])
        north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        centre = unit_vectors(self.ra, self.dec)
        return (
            xyz @ (np.cos(angle) * north + np.sin(angle) * east),
            xyz @ (np.cos(angle) * east - np.sin(angle) * north),
            xyz @ centre,
        )

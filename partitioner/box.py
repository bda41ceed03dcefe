"""Longitude/latitude boxes, as of ``qserv_areaspec_box`` and ``scisql_s2PtInBox``. An ADQL BOX is a polygon instead."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from partitioner.region import PAD_RAD, Region, checked_position
from partitioner.sphere import Bools, Floats, positions, reduced_longitude, unit_vectors

_TURN_DEG = 360.0
_POLE_DEG = 90.0


@dataclass(frozen=True)
class LonLatBox(Region):
    """Positions with longitude and latitude between limits (deg), edges included.

    Where ``lon_min > lon_max`` the box goes through longitude 0; where they are 360 degrees or more apart it has every longitude.
    Otherwise both are taken modulo 360 (the rules of ``scisql_s2PtInBox``). Where ``lat_min > lat_max`` it is empty.

    Raises
    ------
    QueryValueError
        A limit is not finite or a latitude outside [-90, 90].
    """

    lon_min: float
    lat_min: float
    lon_max: float
    lat_max: float

    def __post_init__(self) -> None:
        checked_position(self.lon_min, self.lat_min, "lower corner of a box")
        checked_position(self.lon_max, self.lat_max, "upper corner of a box")

    @property
    def extent_deg(self) -> float:
        """Extent in longitude, 0 to 360."""
        if self.lon_max - self.lon_min >= _TURN_DEG:
            return _TURN_DEG
        low, high = (float(reduced_longitude(lon)) for lon in (self.lon_min, self.lon_max))
        return high - low if low <= high else high - low + _TURN_DEG

    def contains(self, ra: ArrayLike, dec: ArrayLike) -> Bools:
        """Return which positions (deg) lie in the box or on its edge: plain comparisons, with no tolerance."""
        lon, lat = reduced_longitude(ra), np.asarray(dec, dtype=np.float64)
        low, high = (float(reduced_longitude(limit)) for limit in (self.lon_min, self.lon_max))
        if self.extent_deg == _TURN_DEG:
            in_lon = np.isfinite(lon)
        elif low <= high:
            in_lon = (lon >= low) & (lon <= high)
        else:
            in_lon = (lon >= low) | (lon <= high)
        return np.asarray(in_lon & (lat >= self.lat_min) & (lat <= self.lat_max), dtype=np.bool_)

    def bounding_circle(self) -> tuple[Floats, float]:
        """Return a circle around the box.

        For an extent up to 180 degrees every point of the box is within ``(height + width) / 2`` of its middle, along a parallel
        and a meridian; the width is that of its widest parallel. Wider boxes get a circle around a pole, or the whole sky.
        """
        if self.lat_min > self.lat_max:
            return unit_vectors(0.0, 90.0), -1.0
        extent, height = self.extent_deg, self.lat_max - self.lat_min
        widest = 0.0 if self.lat_min <= 0 <= self.lat_max else min(abs(self.lat_min), abs(self.lat_max))
        around_middle = (height + extent * float(np.cos(np.radians(widest)))) / 2
        candidates = {
            around_middle: (self.lon_min + extent / 2, (self.lat_min + self.lat_max) / 2),
            90.0 - self.lat_min: (0.0, 90.0),
            90.0 + self.lat_max: (0.0, -90.0),
        }
        radius = min(candidates)
        return unit_vectors(*candidates[radius]), float(np.radians(radius)) + PAD_RAD

    def compare(self, centres: Floats, radius_rad: float, margin_rad: float) -> tuple[Bools, Bools]:
        """Compare the bounding longitude/latitude boxes of circles with this one."""
        lon, lat = positions(centres)
        offset = np.abs(np.mod(lon - (self.lon_min + self.extent_deg / 2) + 180.0, _TURN_DEG) - 180.0)
        half = self.extent_deg / 2
        reach = np.degrees(radius_rad + margin_rad)
        near = (offset <= half + _longitude_reach(lat, reach)) & (lat >= self.lat_min - reach) & (lat <= self.lat_max + reach)
        reach = np.degrees(radius_rad)
        # A box that ends at a pole also holds what of a circle lies beyond it.
        within = (lat + reach <= self.lat_max) | (self.lat_max == _POLE_DEG)
        within &= (lat - reach >= self.lat_min) | (self.lat_min == -_POLE_DEG)
        within &= (offset + _longitude_reach(lat, reach) <= half) | (self.extent_deg == _TURN_DEG)
        return np.asarray(near, dtype=np.bool_), np.asarray(within, dtype=np.bool_)


def _longitude_reach(lat: Floats, radius_deg: float) -> Floats:
    """Return half the extent in longitude (deg) of circles around latitudes; 180 where one holds a pole."""
    to_pole = np.radians(_POLE_DEG - np.abs(lat))
    radius = np.radians(radius_deg)
    ratio = np.sin(min(radius, np.pi / 2)) / np.maximum(np.sin(to_pole), 1e-300)
    reach: Floats = np.where(to_pole > radius, np.degrees(np.arcsin(np.minimum(ratio, 1.0)) + PAD_RAD), 180.0)
    return reach

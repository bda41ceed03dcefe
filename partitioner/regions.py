"""The regions of queries: circle, longitude/latitude box, ellipse, polygon, and ADQL's BOX, which is a polygon."""

from partitioner.box import LonLatBox
from partitioner.circle import Circle
from partitioner.ellipse import Ellipse
from partitioner.polygon import Polygon, adql_box
from partitioner.region import Region

__all__ = ["Circle", "Ellipse", "LonLatBox", "Polygon", "Region", "adql_box"]

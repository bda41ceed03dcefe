"""The condition that a position lies in a shape, as a function of the nodes. Impossible shapes are refused here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.functions import node_function
from czar.analyse.query import opaque
from czar.dialects.places import place_of
from partitioner.regions import Circle, Ellipse, LonLatBox, Polygon, adql_box
from qserv.errors import NotYetSupportedError, QueryError, QueryValueError

ARCSEC_A_DEGREE = 3600

FEWEST_COORDINATES = 6
"""A polygon has at least three vertices of two coordinates."""

Shape = TypeVar("Shape")
Arguments = list[exp.Expr]


@dataclass(frozen=True)
class Inside:
    """Makes the condition that ``position`` (longitude, latitude; deg) lies in a shape written at ``node`` of ``text``."""

    position: Sequence[exp.Expr]
    node: exp.Expr
    text: str

    def shape(self, name: str, arguments: Arguments) -> exp.Expr:
        """Return the condition for a shape by its name: circle, box (longitude/latitude), ellipse, poly, adql_box.

        Raises
        ------
        QueryError
            The name is unknown or the number of arguments is wrong.
        QueryValueError
            There is no such shape, such as a circle of radius 200 degrees.
        NotYetSupportedError
            An argument that must be a number is an expression.
        """
        shapes: dict[str, Callable[[Arguments], exp.Expr]] = {
            "circle": self.circle,
            "box": self.lonlat_box,
            "ellipse": self.ellipse,
            "poly": self.polygon,
            "adql_box": self.adql_box,
        }
        if name not in shapes:
            msg = f"unknown area {name}; the areas are box, circle, ellipse, poly"
            raise QueryError(msg, place_of(self.node, self.text))
        return shapes[name](arguments)

    def circle(self, arguments: Arguments) -> exp.Expr:
        """Centre (deg) and radius (deg), each a number or an expression."""
        self._count("circle", arguments, 3)
        values = [number(argument) for argument in arguments]
        lon, lat, radius = (0.0 if value is None else float(value) for value in values)
        self._checked(lambda: Circle(lon, lat, radius))
        return node_function("in_circle", *self.position, *arguments)

    def lonlat_box(self, arguments: Arguments) -> exp.Expr:
        """Qserv's box: lon_min, lat_min, lon_max, lat_max (deg)."""
        self._count("box", arguments, 4)
        lon_min, lat_min, lon_max, lat_max = self._numbers("a box", arguments)
        self._checked(lambda: LonLatBox(lon_min, lat_min, lon_max, lat_max))
        return node_function("in_lonlat_box", *self.position, *arguments)

    def ellipse(self, arguments: Arguments) -> exp.Expr:
        """Qserv's ellipse: centre (deg), semi-axes (arcsec), position angle (deg, east of north)."""
        self._count("ellipse", arguments, 5)
        lon, lat, major, minor, angle = self._numbers("an ellipse", arguments)
        axes = (major / ARCSEC_A_DEGREE, minor / ARCSEC_A_DEGREE)
        self._checked(lambda: Ellipse(lon, lat, *axes, angle))
        in_degrees = [exp.cast(exp.Literal.number(repr(axis)), exp.DType.DOUBLE) for axis in axes]
        return node_function("in_ellipse", *self.position, *arguments[:2], *in_degrees, arguments[4])

    def polygon(self, arguments: Arguments) -> exp.Expr:
        """Longitude and latitude (deg) of each vertex; the edges are great circles."""
        if len(arguments) < FEWEST_COORDINATES or len(arguments) % 2:
            msg = f"a polygon takes the longitude and latitude of at least 3 vertices, {len(arguments)} numbers were given"
            raise QueryError(msg, place_of(self.node, self.text))
        values = self._numbers("a polygon", arguments)
        vertices = list(zip(values[::2], values[1::2], strict=True))
        return self._in_polygon(self._checked(lambda: Polygon(vertices)))

    def adql_box(self, arguments: Arguments) -> exp.Expr:
        """ADQL's box: centre, width, height (deg); the edges are great circles."""
        self._count("BOX", arguments, 4)
        lon, lat, width, height = self._numbers("BOX", arguments)
        return self._in_polygon(self._checked(lambda: adql_box(lon, lat, width, height)))

    def _in_polygon(self, polygon: Polygon) -> exp.Expr:
        arrays = (_array(polygon.vertices_xyz.ravel().tolist()), _array(polygon.exterior.tolist()))
        condition = node_function("in_polygon", *self.position, *arrays)
        condition.meta["polygon"] = polygon
        return condition

    def _numbers(self, what: str, arguments: Arguments) -> list[float]:
        values = [value for argument in arguments if (value := number(argument)) is not None]
        if len(values) < len(arguments):
            msg = f"not yet supported: {what} of anything but numbers"
            raise NotYetSupportedError(msg, place_of(self.node, self.text))
        return [float(value) for value in values]

    def _count(self, name: str, arguments: Arguments, wanted: int) -> None:
        if len(arguments) != wanted:
            msg = f"{name} takes {wanted} numbers, {len(arguments)} were given"
            raise QueryError(msg, place_of(self.node, self.text))

    def _checked(self, make: Callable[[], Shape]) -> Shape:
        try:
            return make()
        except QueryValueError as error:
            raise QueryValueError(str(error), place_of(self.node, self.text)) from error


def _array(values: list[float]) -> exp.Expr:
    return opaque(f"CAST(ARRAY[{', '.join(map(repr, values))}] AS DOUBLE PRECISION[])")

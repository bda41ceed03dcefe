"""The geometry functions of ADQL (section 4.2) as function nodes by their ADQL names, which the czar lowers."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlglot import exp

from qserv.errors import Place, QueryValueError


@dataclass(frozen=True)
class Geometry:
    """A geometry function: the numbers of arguments it may have, ``coordsys`` aside."""

    name: str
    counts: Collection[int]
    arity: str
    coordsys: bool = False
    """Whether ADQL 2.0's coordinate system may stand first."""
    supported: bool = True


MAX_VERTICES = 1000
"""Vertices of a polygon: far more than footprints have, few enough to cover in milliseconds."""

GEOMETRY = {
    geometry.name: geometry
    for geometry in (
        Geometry("POINT", {2}, "2 arguments (ra, dec)", coordsys=True),
        Geometry("CIRCLE", {2, 3}, "2 or 3 arguments (point, radius) or (ra, dec, radius)", coordsys=True),
        Geometry("BOX", {3, 4}, "3 or 4 arguments (point, width, height) or (ra, dec, width, height)", coordsys=True),
        Geometry(
            "POLYGON", range(3, 2 * MAX_VERTICES + 1), f"3 to {MAX_VERTICES:,} vertices, points or pairs (ra, dec)", coordsys=True
        ),
        Geometry("CONTAINS", {2}, "2 arguments"),
        Geometry("INTERSECTS", {2}, "2 arguments"),
        Geometry("DISTANCE", {2, 4}, "2 or 4 arguments (point, point) or (ra1, dec1, ra2, dec2)"),
        Geometry("AREA", {1}, "1 argument", supported=False),
        Geometry("CENTROID", {1}, "1 argument", supported=False),
        Geometry("COORD1", {1}, "1 argument", supported=False),
        Geometry("COORD2", {1}, "1 argument", supported=False),
        Geometry("COORDSYS", {1}, "1 argument", supported=False),
        Geometry("REGION", {1}, "1 argument", supported=False),
    )
}
"""Geometry functions by name."""

REFERENCE_POSITIONS = {"", "BARYCENTER", "GEOCENTER", "HELIOCENTER", "TOPOCENTER", "UNKNOWNREFPOS"}
"""Reference positions of ADQL 2.0's coordinate systems. For directions on the sky they change nothing here."""


def without_coordsys(arguments: list[exp.Expr], place: Place) -> list[exp.Expr]:
    """Drop a coordinate system that stands first. ADQL 2.1 deprecates it; everything here is ICRS.

    Raises
    ------
    QueryValueError
        It names another system: the positions would be taken for something they are not.
    """
    if not arguments or not isinstance(arguments[0], exp.Literal) or not arguments[0].is_string:
        return arguments
    system, _, rest = arguments[0].name.strip().upper().partition(" ")
    position = rest.removesuffix("SPHERICAL2").strip()
    if system not in {"", "ICRS"} or position not in REFERENCE_POSITIONS:
        msg = (
            f"coordinate system {arguments[0].name!r} is not supported: positions are ICRS; leave the argument out or write 'ICRS'"
        )
        raise QueryValueError(msg, place)
    return arguments[1:]

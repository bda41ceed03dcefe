"""Rule: whatever form a user wrote a region or a distance in, it becomes a function of schema ``qserv`` on the node.

=================================================================  ==============================================
ADQL ``CONTAINS(POINT(a, d), CIRCLE(...))``, ``INTERSECTS``         ``CAST(qserv.in_circle(a, d, ...) AS INT)``
ADQL ``BOX`` and ``POLYGON`` (great-circle edges)                   ``qserv.in_polygon``
ADQL ``DISTANCE(...)``, ``scisql_angSep``                           ``qserv.angular_separation``
``scisql_s2PtInCircle`` / ``Box`` / ``Ellipse`` / ``CPoly``         ``CAST(qserv.in_... AS INT)``
``qserv_areaspec_circle`` / ``box`` / ``ellipse`` / ``poly``        ``qserv.in_...`` on the director's position
=================================================================  ==============================================

``CAST(condition AS INT) = 1`` becomes the condition itself, so that PostgreSQL and rule `find_regions` see it bare.
"""

from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.functions import SKY, called, node_function
from czar.analyse.nesting import parts
from czar.analyse.query import Query, Source
from czar.analyse.shapes import Inside
from czar.dialects.places import place_of
from qserv.errors import NotYetSupportedError, QueryError

VALUES = {"point", "circle", "box", "polygon"}
"""Functions whose value is a geometry."""

SCISQL_SHAPES = {
    "scisql_s2ptin" + name: shape for name, shape in (("circle",) * 2, ("box",) * 2, ("ellipse",) * 2, ("cpoly", "poly"))
}


def lower_geometry(query: Query) -> Query:
    """Replace geometry by functions of the node.

    Raises
    ------
    QueryError
        A geometry stands where it has no meaning, or has a wrong number of arguments.
    QueryValueError
        A radius, a latitude or a polygon is impossible.
    NotYetSupportedError
        The shape of a geometry is not constant, or a geometry is selected as a value.
    """
    if not any(isinstance(part, exp.Contains) or (called(part) or ("",))[0] in SKY for part in parts(query.tree)):
        return query
    lowering = _Lowering(query)
    query.tree.transform(lowering.lowered, copy=False)
    for comparison in [part for part in parts(query.tree) if isinstance(part, exp.EQ | exp.NEQ)]:
        comparison.replace(_bare(comparison))
    for part in parts(query.tree):
        call = called(part)
        if call and not isinstance(part.parent, exp.Dot) and call[0] in VALUES:
            msg = f"not yet supported: {call[0].upper()} as a value; use it inside CONTAINS or DISTANCE"
            raise NotYetSupportedError(msg, place_of(part, query.text))
    return query


def sources_around(node: exp.Expr, query: Query) -> list[Source]:
    """Return the sources of the innermost SELECT that a node stands in."""
    select = node.find_ancestor(exp.Select)
    if select is None:
        return list(query.sources)
    from_ = select.args.get("from_")
    tables = [part.this for part in ([from_] if from_ else []) + (select.args.get("joins") or [])]
    aliases = {table.alias_or_name.lower() for table in tables}
    return [source for source in query.sources if source.alias.lower() in aliases]


def _bare(node: exp.EQ | exp.NEQ) -> exp.Expr:
    """Turn ``CAST(condition AS INT) = 1`` into the condition, ``= 0`` into NOT condition."""
    for side, other in ((node.left, node.right), (node.right, node.left)):
        truth = number(other)
        if isinstance(side, exp.Cast) and side.meta.get("condition") and truth in {0, 1}:
            wanted = (truth == 1) == isinstance(node, exp.EQ)
            return side.this if wanted else exp.Not(this=side.this)
    return node


def _as_integer(condition: exp.Expr) -> exp.Expr:
    cast = exp.cast(condition, exp.DType.INT)
    cast.meta["condition"] = True
    return cast


@dataclass(frozen=True)
class _Lowering:
    query: Query

    def lowered(self, node: exp.Expr) -> exp.Expr:  # noqa: PLR0911 (one return a form)
        """Return what stands in place of a node."""
        if isinstance(node, exp.Contains):
            return self._contains([node.this, node.expression], node)
        call = None if isinstance(node, exp.Dot) else called(node)
        if call is None:
            return node
        name, arguments = call
        if name in {"contains", "intersects"}:
            return self._contains(arguments, node)
        if name in {"distance", "scisql_angsep"}:
            return self._distance(name, arguments, node)
        if name in SCISQL_SHAPES:
            within = Inside(arguments[:2], node, self.query.text).shape(SCISQL_SHAPES[name], arguments[2:])
            # scisql answers 0, not NULL, where there is no position.
            return _as_integer(exp.Is(this=within, expression=exp.true()))
        if name.startswith("qserv_areaspec_"):
            inside = Inside(self._director_position(node), node, self.query.text)
            return inside.shape(name.removeprefix("qserv_areaspec_"), arguments)
        return node

    def _distance(self, name: str, arguments: list[exp.Expr], node: exp.Expr) -> exp.Expr:
        points = len(arguments) == 2 and name == "distance"  # noqa: PLR2004 (two points)
        position = [*self._point(arguments[0]), *self._point(arguments[1])] if points else arguments
        if len(position) != 4:  # noqa: PLR2004 (two positions of two coordinates)
            msg = f"{name.upper()} takes two points or four coordinates, {len(arguments)} arguments were given"
            raise QueryError(msg, place_of(node, self.query.text))
        return node_function("angular_separation", *position)

    def _contains(self, arguments: list[exp.Expr], node: exp.Expr) -> exp.Expr:
        if len(arguments) != 2:  # noqa: PLR2004 (a point and a shape)
            msg = f"CONTAINS and INTERSECTS take 2 geometries, {len(arguments)} arguments were given"
            raise QueryError(msg, place_of(node, self.query.text))
        point, shape = arguments
        if (called(point) or ("",))[0] != "point" and not isinstance(node, exp.Contains) and node.name.lower() == "intersects":
            point, shape = shape, point
        name, coordinates = called(shape) or ("", [])
        # A centre or vertex may be given as POINT rather than as two numbers.
        coordinates = [value for part in coordinates for value in (self._point(part) if called(part) else [part])]
        form = {"circle": "circle", "polygon": "poly", "box": "adql_box"}.get(name)
        if form is None or (called(point) or ("",))[0] in VALUES - {"point"}:
            given = shape.sql("postgres")[:60]
            msg = f"not yet supported: CONTAINS or INTERSECTS with {given}; the forms are POINT in CIRCLE, BOX or POLYGON"
            raise NotYetSupportedError(msg, place_of(node, self.query.text))
        return _as_integer(Inside(self._point(point), node, self.query.text).shape(form, coordinates))

    def _point(self, node: exp.Expr) -> list[exp.Expr]:
        name, arguments = called(node) or ("", [])
        if len(arguments) == 3:  # noqa: PLR2004 (ADQL 2.0: the coordinate system comes first)
            arguments = arguments[1:]
        if name != "point" or len(arguments) != 2:  # noqa: PLR2004 (longitude and latitude)
            msg = f"POINT(longitude, latitude) was expected, {node.sql('postgres')[:60]} was found"
            raise QueryError(msg, place_of(node, self.query.text))
        return arguments

    def _director_position(self, node: exp.Expr) -> list[exp.Expr]:
        """Return the columns that ``qserv_areaspec_*`` means: the position of the first director, or else of the first table."""
        placed = [source for source in sources_around(node, self.query) if source.entry.table.partitioned and source.entry.table.ra]
        if not placed:
            msg = "qserv_areaspec_* needs a table with a position in FROM"
            raise QueryError(msg, place_of(node, self.query.text))
        source = min(placed, key=lambda source: source.entry.table.director is not None)
        names = (source.entry.table.ra or "", source.entry.table.dec or "")
        alias = exp.to_identifier(source.alias, quoted=True)
        return [exp.column(exp.to_identifier(name, quoted=True), table=alias.copy()) for name in names]

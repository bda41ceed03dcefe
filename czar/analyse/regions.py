"""Rule: take the regions on positions out of the conditions, and leave out chunks and pixels that no matching row can be in.

A region counts in whatever form it was written: circles, boxes, ellipses, polygons, distances below a limit, ra and dec compared
with numbers; several of them, under AND and OR. Who must be near a row of a region is in that region, grown by the distance. The
conditions themselves stay: pixels are a superset.
"""

import functools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sqlglot import exp

from czar.analyse.constants import Number, number
from czar.analyse.functions import called
from czar.analyse.lists import listed
from czar.analyse.nesting import conjuncts, disjuncts
from czar.analyse.query import Access, Block, Query, Source, opaque
from czar.analyse.scope import qualified
from czar.analyse.separations import Limited, Near, limited_distance, near_of
from partitioner.ranges import EMPTY, PixelRanges
from partitioner.regions import Circle, Ellipse, LonLatBox, Polygon
from schema.model import HEALPIX_COLUMN
from schema.physical import quote

MAX_INDEXED_DEG2 = 400.0
"""Largest area whose pixels are given to PostgreSQL as ranges: beyond it most touched chunks lie wholly inside, and testing the
ranges costs more than it saves."""

MAX_NEIGHBOURS_DEG2 = 1.0
"""The same where those rows alone are read that have a neighbour: an index holds them, which is soon read whole."""

SPOT_DEG2 = 0.1
"""Area of a cone of 11 arcmin: some thousands of objects of the deepest surveys."""

MAX_RANGES = 24
"""Most ranges of pixels given to PostgreSQL: each is one descent of the index (about 10 microseconds) and 60 bytes of SQL."""

SPOT_RANGES = 12
"""The same of a spot: 12 more take PostgreSQL 0.1 ms to plan, and save reading 12 rows where 61 are found in a cone of 1 arcmin."""

MAX_CENTRES = 100
"""Longest list of positions whose circles are looked at: each takes 2 ms."""

MAX_LATITUDE_DEG = 90.0

MAX_CIRCLE_DEG = 180.0
"""No two points are further apart."""

SHAPES: dict[str, type[Circle] | type[LonLatBox] | type[Ellipse]] = {
    "in_circle": Circle,
    "in_lonlat_box": LonLatBox,
    "in_ellipse": Ellipse,
}
"""The region of each function of the nodes whose further arguments are the region's own."""


def find_regions(query: Query) -> Query:
    """Find the pixels of each source, drop chunks outside of them, add a condition on the pixel column."""
    for block in query.blocks:
        conditions = block.restrictions()
        for source in block.sources:
            table = source.entry.table
            if not (table.partitioned and table.ra and table.dec):
                continue
            read = partial(_Reader, query, block, source)
            covered = read().all_of(conditions)
            if covered is None:
                continue
            if block.necessary:
                query = _in_chunks(query, read, covered, conditions)
            if covered.area_deg2 < (MAX_NEIGHBOURS_DEG2 if source.alias in query.neighbours else MAX_INDEXED_DEG2):
                most = SPOT_RANGES if covered.area_deg2 < SPOT_DEG2 else MAX_RANGES
                block.select.where(_in_pixels(source, covered.coarsened(most)), copy=False)
    return query


def _in_chunks(query: Query, read: "partial[_Reader]", covered: PixelRanges, conditions: list[exp.Expr]) -> Query:
    """Keep the chunks of a region.

    A dependent lies in its director's chunk, up to the recorded separation away; a row that follows others of its key in that of
    the first one; a row of the overlap, up to the overlap radius.
    """
    source = read().source
    margin = source.entry.beyond_deg
    if source.overlap:
        margin = next(each.overlap_deg for each in query.catalogue.databases if each.name == source.entry.database)
    if margin != 0.0:
        grown = None if margin is None else read(margin).all_of(conditions)
        if grown is None:
            return query
        covered = grown
    chunk_map = query.catalogue.chunk_maps[source.entry.family]
    return query.narrowed(np.sort(chunk_map.chunks_in(covered)), f"region on {source.alias}", _access(covered.area_deg2))


def _access(area_deg2: float) -> Access:
    """Return how the rows of a region are found."""
    if area_deg2 < SPOT_DEG2:
        return Access.SPOT
    return Access.REGION if area_deg2 < MAX_INDEXED_DEG2 else Access.SCAN


def _in_pixels(source: Source, covered: PixelRanges) -> exp.Expr:
    """Return the condition on the pixel column as one opaque part, because nothing later looks into its many ranges."""
    column = f"{quote(source.alias)}.{quote(HEALPIX_COLUMN)}"
    tests = [f"{column} BETWEEN {low} AND {high - 1}" for low, high in covered.array.tolist()]
    return opaque(f"({' OR '.join(tests)})") if tests else exp.false()


@dataclass(frozen=True)
class _Bounds:
    """Closed interval of a coordinate, in degrees."""

    low: float = -float("inf")
    high: float = float("inf")

    def within(self, low: Number | None, high: Number | None) -> "_Bounds":
        return _Bounds(
            self.low if low is None else max(self.low, float(low)),
            self.high if high is None else min(self.high, float(high)),
        )


@dataclass(frozen=True)
class _Reader:
    """Reads the pixels of one source's position, grown by ``margin_deg``, out of conditions."""

    query: Query
    block: Block
    source: Source
    margin_deg: float = 0.0

    def all_of(self, conditions: list[exp.Expr]) -> PixelRanges | None:
        """Return the pixels where all conditions can hold; None where they say nothing of the source's position."""
        found = [pixels for condition in conditions if (pixels := self._of(condition)) is not None]
        box = self._compared(conditions)
        if box is not None:
            found.append(box)
        found += self._beside(conditions)
        return functools.reduce(operator.and_, found) if found else None

    def _of(self, condition: exp.Expr) -> PixelRanges | None:
        """Return the pixels where one condition can hold, or None for the whole sky."""
        match condition:
            case exp.Or():
                return self._any_of(condition)
            case _ if (near := near_of(condition)) is not None:
                return self._near_list(near)
            case _ if (limited := limited_distance(condition)) is not None:
                return self._limited(limited)
            case exp.Dot():
                return self._inside(condition)
            case exp.Is(expression=exp.Boolean(this=True)) if not condition.args.get("negate"):
                return self._of(condition.this)
            case _:
                return None

    def _any_of(self, condition: exp.Or) -> PixelRanges | None:
        """Return the pixels where one of the operands can hold; None as soon as one says nothing of the position."""
        found: PixelRanges = EMPTY
        for part in disjuncts(condition):
            pixels = self.all_of(conjuncts(part))
            if pixels is None:
                return None
            found |= pixels
        return found

    def _inside(self, condition: exp.Dot) -> PixelRanges | None:
        name, arguments = called(condition) or ("", [])
        if not self._is_position(arguments[:2]):
            return None
        if name == "in_polygon" and "polygon" in condition.meta:
            polygon: Polygon = condition.meta["polygon"]
            return polygon.ranges(self.margin_deg)
        values = [number(argument) for argument in arguments[2:]]
        if name not in SHAPES or any(value is None for value in values):
            return None
        return SHAPES[name](*(float(value) for value in values if value is not None)).ranges(self.margin_deg)

    def _limited(self, limited: Limited) -> PixelRanges | None:
        """Return the pixels of positions that are near a constant one."""
        ends, limit = limited.coordinates, limited.limit_deg
        if limit >= MAX_CIRCLE_DEG:
            return None
        for position, centre in ((ends[:2], ends[2:]), (ends[2:], ends[:2])):
            lon, lat = (number(value) for value in centre)
            if self._is_position(position) and lon is not None and lat is not None:
                return EMPTY if limit < 0 else Circle(float(lon), float(lat), limit).ranges(self.margin_deg)
        return None

    def _beside(self, conditions: list[exp.Expr]) -> Iterator[PixelRanges]:
        """Yield the pixels around the regions of other sources that conditions keep near this one: there its partners are."""
        for condition in conditions:
            near = near_of(condition)
            if near is None or not 0 <= near.limit_deg < MAX_CIRCLE_DEG:
                continue
            for one, other in ((near.left, near.right), (near.right, near.left)):
                source = next((each for each in self.block.sources if other == _position(each)), None)
                if one != _position(self.source) or source is None:
                    continue
                around = replace(self, source=source, margin_deg=self.margin_deg + near.limit_deg)
                pixels = around.all_of([each for each in conditions if each is not condition])
                if pixels is not None:
                    yield pixels

    def _near_list(self, near: Near) -> PixelRanges | None:
        """Return the pixels near the positions of a list that is part of the query."""
        for one, other in ((near.left, near.right), (near.right, near.left)):
            if one != _position(self.source):
                continue
            centres = listed(self.query, self.block.select, *(qualified(other[0], name) for name in other[1:]))
            if centres is None or len(centres) > MAX_CENTRES or not 0 <= near.limit_deg < MAX_CIRCLE_DEG:
                return None
            known = [(float(lon), float(lat)) for lon, lat in centres if lon is not None and lat is not None]
            if not all(math.isfinite(lon) and abs(lat) <= MAX_LATITUDE_DEG for lon, lat in known):
                return None
            return PixelRanges.union_of(Circle(lon % 360, lat, near.limit_deg).ranges(self.margin_deg) for lon, lat in known)
        return None

    def _is_position(self, arguments: list[exp.Expr]) -> bool:
        table = self.source.entry.table
        names = [part.name for part in arguments if isinstance(part, exp.Column) and part.table == self.source.alias]
        return names == [table.ra, table.dec]

    def _compared(self, conditions: list[exp.Expr]) -> PixelRanges | None:
        """Return the pixels of the comparisons of ra and dec with numbers, all of which must hold."""
        table = self.source.entry.table
        bounds = {table.ra: _Bounds(), table.dec: _Bounds()}
        for condition in conditions:
            for column, low, high in _intervals(condition):
                if isinstance(column, exp.Column) and column.table == self.source.alias and column.name in bounds:
                    bounds[column.name] = bounds[column.name].within(low, high)
        ra, dec = bounds[table.ra], bounds[table.dec]
        if ra == _Bounds() and dec == _Bounds():
            return None
        # Stored longitudes are in [0, 360): a comparison is with that number, not modulo 360.
        ra, dec = ra.within(0, 360), dec.within(-90, 90)
        if ra.low > ra.high or dec.low > dec.high:
            return EMPTY
        return LonLatBox(ra.low, dec.low, ra.high, dec.high).ranges(self.margin_deg)


def _position(source: Source) -> tuple[str, str | None, str | None]:
    """Return the position of a source, as `Near` has it."""
    return source.alias, source.entry.table.ra, source.entry.table.dec


def _intervals(condition: exp.Expr) -> list[tuple[exp.Expr, Number | None, Number | None]]:
    match condition:
        case exp.Between():
            return [(condition.this, number(condition.args["low"]), number(condition.args["high"]))]
        case exp.LT() | exp.LTE():
            return [(condition.left, None, number(condition.right)), (condition.right, number(condition.left), None)]
        case exp.GT() | exp.GTE():
            return [(condition.left, number(condition.right), None), (condition.right, None, number(condition.left))]
        case exp.EQ():
            pairs = ((condition.left, number(condition.right)), (condition.right, number(condition.left)))
            return [(column, value, value) for column, value in pairs if value is not None]
        case _:
            return []

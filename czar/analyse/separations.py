"""How far apart the partners of a join can be: along foreign keys proven at publish, and by distances that the query limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.functions import called
from czar.analyse.nesting import conjuncts, joins, optional
from czar.analyse.query import Source
from schema.model import TableRole

WIDER: Final = 1 + 1e-12
"""More than rounding can change a radius by that is written in another unit."""

LEAST_FACTOR: Final = 1e-9
"""Numbers below it, or above its inverse, change no units."""


@dataclass(frozen=True)
class Limited:
    """The ``coordinates`` of two positions (ra, dec, ra, dec), any expressions, that are at most ``limit_deg`` apart."""

    coordinates: list[exp.Expr]
    limit_deg: float
    is_all: bool = True
    """Whether the condition says no more than that; else it must be asked, too."""


@dataclass(frozen=True)
class Distance:
    """The distance of two positions, ``coordinates`` as in `Limited`, times a ``factor`` from degrees to another unit."""

    coordinates: list[exp.Expr]
    factor: float
    is_bare: bool
    """Whether it is written in degrees."""


@dataclass(frozen=True)
class Near:
    """Two positions of a query that are at most ``limit_deg`` apart; each is (alias, ra, dec)."""

    left: tuple[str, str, str]
    right: tuple[str, str, str]
    limit_deg: float
    is_all: bool = True
    """As in `Limited`."""


@dataclass(frozen=True)
class Partners:
    """Proves that the partners of home relations lie inside the overlap of their chunk."""

    select: exp.Select
    tables: Mapping[str, Source]
    overlap_deg: float

    def reach(self, home: Sequence[str], others: Sequence[str]) -> bool:
        """Whether every one of the others is found within the overlap, from the home relations."""
        if not others:
            return True
        if optional(self.select) & set(home):
            return False  # an answer row without a row of a home relation is made in no chunk, or in several
        reached = {alias: self._beyond(alias) for alias in home}
        waiting = [alias for alias in others if self._has_overlap(alias)]
        if len(waiting) < len(others):
            return False
        while waiting:
            found = next((alias for alias in waiting if self._separation(alias, home, reached) is not None), None)
            if found is None:
                return False
            reached[found] = self._separation(found, home, reached) or 0.0
            waiting.remove(found)
        return True

    def _separation(self, alias: str, home: Sequence[str], reached: Mapping[str, float]) -> float | None:
        """Return how far a relation's partners can be from the chunk; None if that is not known to be within the overlap."""
        if any(self._refers(source, alias) or self._matches(source, alias) for source in home):
            return self.overlap_deg
        found = [
            reached[one[0]] + near.limit_deg
            for near in self._near(alias)
            for one, other in ((near.left, near.right), (near.right, near.left))
            if one[0] in reached and other[0] == alias and self._is_position(one) and self._is_position(other)
        ]
        least = min(found, default=None)
        return least if least is not None and least <= self.overlap_deg else None

    def _near(self, alias: str) -> list[Near]:
        return [near for condition in self._conditions(alias) if (near := near_of(condition)) is not None]

    def _conditions(self, alias: str) -> list[exp.Expr]:
        where = self.select.args.get("where")
        found = conjuncts(where.this if where else None)
        for join in joins(self.select):
            if not join.side or (join.side == "LEFT" and join.this.alias_or_name == alias):
                found += conjuncts(join.args.get("on"))
        return found

    def _has_overlap(self, alias: str) -> bool:
        source = self.tables.get(alias)
        kept = any(join.side in {"RIGHT", "FULL"} for join in joins(self.select))
        if source is None or kept:
            return False
        return source.entry.table.overlap or source.entry.table.role in {TableRole.DIRECTOR, TableRole.REF_MATCH}

    def _beyond(self, alias: str) -> float:
        """Return how far outside of its chunk the position of a home relation's row can be: that of a dependent is its own."""
        source = self.tables.get(alias)
        known = 0.0 if source is None else source.entry.beyond_deg
        return math.inf if known is None else known

    def _matches(self, alias: str, target_alias: str) -> bool:
        """Whether one table holds pairs of which the other is the second: in either order, the partner is in the overlap.

        A pair is at home in the chunk of its first row, and in the overlap of the chunk of its second.
        """
        source, target = self.tables.get(alias), self.tables.get(target_alias)
        if source is None or target is None:
            return False
        for pairs, pairs_alias, other in ((source, alias, target), (target, target_alias, source)):
            table = pairs.entry.table
            if table.role is not TableRole.REF_MATCH or other.entry.table.role is not TableRole.DIRECTOR:
                continue
            near_enough = pairs is target or (pairs.entry.max_separation_deg or math.inf) <= self.overlap_deg
            second = (pairs_alias, table.second_director_key or "")
            key = (other.alias, other.entry.table.director_key or "")
            same = pairs.entry.database == other.entry.database and table.second_director == other.entry.table.name
            if same and near_enough and (second, key) in self._equal(target_alias):
                return True
        return False

    def _is_position(self, point: tuple[str, str, str]) -> bool:
        """Whether a point is the position of a row, of which it is known how near to its chunk it is."""
        source = self.tables.get(point[0])
        if source is None or source.entry.table.role not in {TableRole.DIRECTOR, TableRole.DEPENDENT}:
            return False
        return point[1:] == (source.entry.table.ra, source.entry.table.dec)

    def _equal(self, alias: str) -> set[tuple[tuple[str, str], tuple[str, str]]]:
        """Return the pairs of (alias, column) that are equal in every joined row of a relation."""
        return {
            ((left.table, left.name), (right.table, right.name))
            for condition in self._conditions(alias)
            if isinstance(condition, exp.EQ)
            for left, right in ((condition.left, condition.right), (condition.right, condition.left))
            if isinstance(left, exp.Column) and isinstance(right, exp.Column)
        }

    def _refers(self, alias: str, target_alias: str) -> bool:
        source, target = self.tables.get(alias), self.tables[target_alias]
        if source is None or source.entry.database != target.entry.database:
            return False
        pairs = self._equal(target_alias)
        return any(
            key.target_table == target.entry.table.name
            and key.name in source.entry.local_references
            and all(
                ((alias, column), (target_alias, target_column)) in pairs
                for column, target_column in zip(key.columns, key.target_columns, strict=True)
            )
            for key in source.entry.table.foreign_keys
        )


def near_of(condition: exp.Expr) -> Near | None:
    """Return the two positions that a condition keeps near each other, in any of the forms that geometry was lowered to."""
    match condition:
        case exp.Is(expression=exp.Boolean(this=True)) if not condition.args.get("negate"):
            return near_of(condition.this)
        case exp.Dot():
            name, arguments = called(condition) or ("", [])
            limit = number(arguments[4]) if name == "in_circle" else None
            return None if limit is None else _near(Limited(arguments[:4], float(limit)))
        case _:
            limited = limited_distance(condition)
            return _near(limited) if limited else None


def limited_distance(condition: exp.Expr) -> Limited | None:
    """Return what a comparison says of the distance of two positions, also where it is written in arcminutes or arcseconds."""
    is_all = True
    match condition:
        case exp.LT() | exp.LTE():
            distance, limit = condition.left, number(condition.right)
        case exp.GT() | exp.GTE():
            distance, limit = condition.right, number(condition.left)
        case exp.Between():
            distance, limit, is_all = condition.this, number(condition.args["high"]), False
        case _:
            return None
    found = distance_in(distance)
    if found is None or limit is None:
        return None
    if found.is_bare:
        return Limited(found.coordinates, float(limit), is_all)
    return Limited(found.coordinates, limit / found.factor * WIDER, is_all=False)


def distance_in(node: exp.Expr) -> Distance | None:
    """Return the distance of two positions that an expression is, in whatever unit."""
    bare, factor = _factored(node)
    name, arguments = (called(bare) if isinstance(bare, exp.Dot) else None) or ("", [])
    return Distance(arguments, factor, bare is node.unnest()) if name == "angular_separation" else None


def _factored(distance: exp.Expr) -> tuple[exp.Expr, float]:
    """Return a distance without the numbers that it is multiplied with or divided by, and what is left of these as one factor."""
    match distance:
        case exp.Paren():
            return _factored(distance.this)
        case exp.Mul():
            ways = [(number(distance.left), distance.right), (number(distance.right), distance.left)]
        case exp.Div():
            divisor = number(distance.right)
            ways = [(1 / divisor, distance.left)] if divisor else []
        case _:
            ways = []
    for value, other in ways:
        if value is not None and LEAST_FACTOR < value < 1 / LEAST_FACTOR:
            inner, further = _factored(other)
            if LEAST_FACTOR < value * further < 1 / LEAST_FACTOR:
                return inner, float(value * further)
    return distance, 1


def _near(limited: Limited) -> Near | None:
    columns = [part for part in limited.coordinates if isinstance(part, exp.Column)]
    if len(columns) != 4:  # noqa: PLR2004 (two positions of two coordinates)
        return None
    if columns[0].table != columns[1].table or columns[2].table != columns[3].table or columns[0].table == columns[2].table:
        return None
    left, right = ((ra.table, ra.name, dec.name) for ra, dec in (columns[:2], columns[2:]))
    return Near(left, right, limited.limit_deg, limited.is_all)

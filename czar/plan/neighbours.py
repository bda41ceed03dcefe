"""Pairs of rows within a radius of each other, as a join that PostgreSQL hashes.

The sphere is cut into zones of declination, and each zone into cells of right ascension that are about as wide as the zone is high
(Gray, Nieto-Santisteban & Szalay 2007, arXiv:cs/0701171, with cells in place of their sorted zones). A row of the first side is in
one cell; a row of the second side is copied into every cell that its circle touches: at most two zones, and two cells in each. So
each pair meets exactly once, in the first row's cell, and equality of cells is a condition that is hashed. Two comparisons throw
away most of what else is in the cell, and the exact great-circle test decides.

A zone that is too near to a pole for its cells to be much wider than the radius is one cell.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from schema.physical import quote

LEAST_HEIGHT_DEG = 2 / 3600
"""Lowest zone: smaller ones would save nothing below a million rows a square degree, and zones and cells must fit into a key."""

SIZES = (2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Heights of zones to choose from, in radii. From 2.5 a circle touches at most two zones, and two cells of each."""

COPY_COST = 5.0
"""Time to make and look up one copy of a row, in units of that to compare one pair (measured: 0.8 and 0.15 microseconds)."""

USUAL_ROWS_A_DEG2 = 200_000.0
"""Density of rows where nobody says it: between the Galactic pole and the plane of a deep survey."""

WIDENING = 1.0472
"""asin(x) is less than this times x up to x = 0.5 (asin(0.5) is 0.5236): right ascension spans more than the radius."""

ZONE = 1_000_003
"""Step of the key from zone to zone: more than any number of cells (648,000). No power of 2, because PostgreSQL hashes a bigint as
the exclusive or of its halves, and zones and cells of one field would give the same few numbers (measured: eight times slower)."""

LAST_DEG = 360 - 1e-9
"""Longitudes from here on are in the last cell of their zone, whatever rounding says; a cell is 2 arcsec wide at the least."""

APART = "WITH apart AS (SELECT 1) "
"""Begins a SELECT that PostgreSQL leaves as it is: what it computes is computed once a row, not wherever it is used. Conditions
from outside are still met inside, which OFFSET 0 prevents. (A SELECT with WITH is not merged; what is not read costs nothing.)"""


class Within(StrEnum):
    """How the separation is compared with the radius."""

    BELOW = "<"
    AT_MOST = "<="
    IN_CIRCLE = "in_circle"
    """As ``qserv.in_circle``: up to the radius, and 1e-12 rad of rounding."""


@dataclass(frozen=True)
class Side:
    """One side of the join: ``relation`` is a table or a query in parentheses, ``ra`` and ``dec`` (deg, ICRS) are expressions over
    ``alias``, all in SQL.
    """

    relation: str
    alias: str
    ra: str
    dec: str
    columns: tuple[str, ...] | None = None
    """What the rest of the query reads of it, and its position, as names without quotes; None for all. Others would be dragged
    through every step of the join."""


@dataclass(frozen=True)
class NeighbourJoin:
    """The parts of a join of near neighbours: ``first JOIN second ON condition``, or LEFT JOIN where the second is copied."""

    first: str
    second: str
    condition: str
    first_adds: tuple[str, ...]
    second_adds: tuple[str, ...]
    """Names of columns that each side has besides its own, for the condition."""

    def sql(self, kind: str = "JOIN", further: str | None = None) -> str:
        """Return the text for FROM; ``further`` is one more condition on the pair."""
        condition = f"{self.condition} AND ({further})" if further else self.condition
        return f"{self.first} {kind} {self.second} ON {condition}"


def neighbours(  # noqa: PLR0913 (the last three have defaults that fit)
    first: Side,
    second: Side,
    radius_deg: float,
    within: Within = Within.AT_MOST,
    *,
    rows_a_deg2: float = USUAL_ROWS_A_DEG2,
    number: int = 0,
    copies_first: bool = False,
) -> NeighbourJoin:
    """Return the join of all pairs that are within a radius.

    Rows without a position, or with one that is none (NaN, a latitude above 90), have no neighbours. A row that is on both sides is
    its own neighbour.

    Parameters
    ----------
    first, second
        Columns of the relations are found under their aliases, as before.
    radius_deg
        0 to 180 degrees; below 0 no pair is found.
    rows_a_deg2
        Density of the side that is not copied, where it is dense. It changes the time, not the answer.
    number
        Of the join within its query, where a relation is in several of them: it is part of the names of added columns.
    copies_first
        Copies the first side rather than the second, which pays where it has fewer rows. A LEFT JOIN, which keeps rows of the first
        one, would keep those of each copy.
    """
    grid = Grid.of(radius_deg, rows_a_deg2)
    one, two, copied = (_Cells(side, grid, number) for side in (first, second, first if copies_first else second))
    wide = 360 * grid.half_width
    near = (
        f"{one.of('_cell')} = {two.of('_cell')}"
        f" AND abs({one.lat} - {two.lat}) <= {grid.reach_deg!r}::float8"
        f" AND (180::float8 - abs(abs({one.ra} - {two.ra}) - 180::float8)) * {copied.of('_count')} <= {wide!r}::float8"
    )
    position = f"{first.ra}, {first.dec}, {second.ra}, {second.dec}"
    if within is Within.IN_CIRCLE:
        exact = f"qserv.in_circle({position}, {radius_deg!r}::float8)"
    else:
        exact = f"qserv.angular_separation({position}) {within} {radius_deg!r}::float8"
    condition = f"{near} AND {exact}" if radius_deg >= 0 else "FALSE"
    cell, count = f"_cell_{number}", f"_count_{number}"
    if copies_first:
        return NeighbourJoin(one.copied(), two.located(), condition, (cell, count), (cell,))
    return NeighbourJoin(one.located(), two.copied(), condition, (cell,), (cell, count))


@dataclass(frozen=True)
class Grid:
    """The zones and cells for one radius."""

    reach_deg: float
    """The radius, and what rounding may add to it."""
    height_deg: float
    fewest_cells: int
    """Of a zone that is cut into cells; so many mean that right ascension spans at most `WIDENING` times the radius. At least two:
    cells west and east of an edge are different ones."""

    @classmethod
    def of(cls, radius_deg: float, rows_a_deg2: float) -> "Grid":
        """Return the grid with which a pair is found in the least time."""
        reach = max(radius_deg, 0.0) * (1 + 1e-9) + 1e-10
        crowd = rows_a_deg2 * reach * reach
        size = min(SIZES, key=lambda size: COPY_COST * (1 + 2 / size) ** 2 + crowd * size * size)
        height = max(size * reach, LEAST_HEIGHT_DEG)
        return cls(reach, height, max(2, math.ceil(4 * math.pi / size)))

    @property
    def half_width(self) -> float:
        """Half of what a circle spans in right ascension, in cells, at the most."""
        return WIDENING * self.reach_deg / self.height_deg


@dataclass(frozen=True)
class _Cells:
    """Makes the SELECTs of one side, which add columns whose names end in the number of the join.

    The relation is read once, because a second reading could give other rows (random(), LIMIT).
    """

    side: Side
    grid: Grid
    number: int

    @property
    def lat(self) -> str:
        """Latitude in double precision."""
        return f"({self.side.dec})::float8"

    @property
    def ra(self) -> str:
        """Right ascension in double precision, whatever its range."""
        return f"({self.side.ra})::float8"

    def of(self, column: str) -> str:
        """Return a column that is added to the side, as the rest of the query names it."""
        return f"{quote(self.side.alias)}.{column}_{self.number}"

    def located(self) -> str:
        """Select a side with the one cell of each row, NULL where it has no position."""
        ra, zone = self.ra, self._zone(self.lat)
        turned = f"LEAST(GREATEST({ra} - 360::float8 * floor({ra} / 360::float8), 0::float8), {LAST_DEG!r}::float8)"
        lon = f"CASE WHEN {ra} >= 0 AND {ra} < {LAST_DEG!r}::float8 THEN {ra} WHEN abs({ra}) < 1e9 THEN {turned} END"
        across = f"{lon} * {self._cells(zone)} * {1 / 360!r}::float8"
        cell = f"CASE WHEN {self.lat} BETWEEN -90 AND 90 THEN ({zone} * {ZONE} + floor({across}))::bigint END"
        rows = f"{APART}SELECT {self._kept(self.side.alias)}, {cell} AS _cell_{self.number} FROM {self._relation}"  # noqa: S608 (our own names)
        return f"({rows}) AS {quote(self.side.alias)}"

    def copied(self) -> str:
        """Select a side with a copy of each row for every cell that its circle touches; without rows that have no position."""
        reach, half = f"{self.grid.reach_deg!r}::float8", f"{self.grid.half_width!r}::float8"
        ra, lat = self.ra, self.lat
        shift, step, lon, zone, cells = (f"_{name}_{self.number}" for name in ("shift", "step", "lon", "zone", "cells"))
        touched = self._zone(f"({lat} + {shift})")
        turned = f"CASE WHEN {ra} >= 0 AND {ra} < 360 THEN {ra} ELSE {ra} - 360::float8 * floor({ra} / 360::float8) END"
        rows = (
            f"{APART}SELECT {self._kept(self.side.alias)},"  # noqa: S608 (our own names)
            f" {turned} AS {lon}, {touched} AS {zone}, {self._cells(touched)} AS {cells} FROM {self._relation}"
            f" JOIN (VALUES (-{reach}), ({reach})) AS _shifts({shift})"
            f" ON {shift} < 0 OR {self._zone(f'({lat} + {reach})')} > {self._zone(f'({lat} - {reach})')}"
            f" WHERE {lat} BETWEEN -90 AND 90 AND abs({ra}) < 1e9"
        )
        across = f"({lon} * {cells} * {1 / 360!r}::float8)"
        place = f"floor({across} + {step})"
        # West of longitude 0 is the last cell, east of the last one the first.
        turn = f"CASE WHEN {place} < 0 THEN {cells} WHEN {place} >= {cells} THEN -{cells} ELSE 0 END"
        return (
            f"({APART}SELECT {self._kept('_q')}, {cells} AS _count_{self.number}, ({zone} * {ZONE} + {place} + {turn})::bigint AS _cell_{self.number}"  # noqa: S608, E501 (our own names)
            f" FROM ({rows}) AS _q JOIN (VALUES (-{half}), ({half})) AS _steps({step})"
            f" ON {step} < 0 OR floor({across} + {half}) > floor({across} - {half})) AS {quote(self.side.alias)}"
        )

    @property
    def _relation(self) -> str:
        return f"{self.side.relation} AS {quote(self.side.alias)}"

    def _kept(self, alias: str) -> str:
        """Return the side's own columns."""
        if self.side.columns is None:
            return f"{quote(alias)}.*"
        return ", ".join(f"{quote(alias)}.{quote(name)}" for name in self.side.columns)

    def _zone(self, lat: str) -> str:
        return f"floor({lat} * {1 / self.grid.height_deg!r}::float8)"

    def _cells(self, zone: str) -> str:
        """Return the number of cells of a zone, from the narrower one of its ends; 0 where the zone is one cell."""
        height, most = math.radians(self.grid.height_deg), 360 / self.grid.height_deg
        if self.grid.fewest_cells >= most:
            return "0::float8"
        last = math.acos(self.grid.fewest_cells / most) / height - 0.5
        middle = f"abs({zone} + 0.5::float8)"
        count = f"floor(cos(({middle} + 0.5::float8) * {height!r}::float8) * {most!r}::float8)"
        return f"CASE WHEN {middle} <= {last!r}::float8 THEN {count} ELSE 0 END"

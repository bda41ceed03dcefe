"""Pairs of rows within a radius of each other, as a join that PostgreSQL hashes.

The sphere is cut into zones of declination, and each zone into cells of right ascension that are about as wide as the zone is high
(Gray, Nieto-Santisteban & Szalay 2007, arXiv:cs/0701171, with cells in place of their sorted zones). A row of the first side is in
one cell; a row of the second side is copied into every cell that its circle touches: at most two zones, and two cells in each. So
each pair meets exactly once, in the first row's cell, and equality of cells is a condition that is hashed. Two comparisons throw
away most of what else is in the cell, and the exact great-circle test decides.

A zone that is too near to a pole for its cells to be much wider than the radius is one cell.
"""

import math
import re
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

ACROSS = f"(_lon * _cells * {1 / 360!r}::float8)"
"""Where a row is in the cells of its zone, as SQL."""

COLUMN = re.compile(r"\b_(?:lat|lon|zone|cells|cell|across|turned|shift|step)\b")
"""Columns that are added here, in the texts below."""

POSITIONS = "<positions>"
"""Stands for the innermost SELECT until columns have their names: the text of a relation is not ours to change."""


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


@dataclass(frozen=True)
class NeighbourJoin:
    """The parts of a join of near neighbours: ``first JOIN second ON condition``. LEFT JOIN is right, too."""

    first: str
    second: str
    condition: str

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
) -> NeighbourJoin:
    """Return the join of all pairs that are within a radius.

    Rows without a position, or with one that is none (NaN, a latitude above 90), have no neighbours. A row that is on both sides is
    its own neighbour.

    Parameters
    ----------
    first, second
        Columns of the relations are found under their aliases, as before; ``first`` should be the larger one.
    radius_deg
        0 to 180 degrees; below 0 no pair is found.
    rows_a_deg2
        Density of the first side where it is dense. It changes the time, not the answer.
    number
        Of the join within its query, where a relation is in several of them: it is part of the names of added columns.
    """
    grid = Grid.of(radius_deg, rows_a_deg2)
    one, two = quote(first.alias), quote(second.alias)
    near = (
        f"{one}._cell_{number} = {two}._cell_{number}"
        f" AND abs({one}._lat_{number} - {two}._lat_{number}) <= {grid.reach_deg!r}::float8"
        f" AND abs({one}._across_{number} - {two}._turned_{number}) <= {grid.half_width!r}::float8"
    )
    position = f"{first.ra}, {first.dec}, {second.ra}, {second.dec}"
    if within is Within.IN_CIRCLE:
        exact = f"qserv.in_circle({position}, {radius_deg!r}::float8)"
    else:
        exact = f"qserv.angular_separation({position}) {within} {radius_deg!r}::float8"
    condition = f"{near} AND {exact}" if radius_deg >= 0 else "FALSE"
    return NeighbourJoin(_Steps(first, grid, number).located(), _Steps(second, grid, number).copied(), condition)


@dataclass(frozen=True)
class Grid:
    """The zones and cells for one radius."""

    reach_deg: float
    """The radius, and what rounding may add to it."""
    height_deg: float
    fewest_cells: int
    """Of a zone that is cut into cells; so many mean that right ascension spans at most `WIDENING` times the radius."""

    @classmethod
    def of(cls, radius_deg: float, rows_a_deg2: float) -> "Grid":
        """Return the grid with which a pair is found in the least time."""
        reach = max(radius_deg, 0.0) * (1 + 1e-9) + 1e-10
        crowd = rows_a_deg2 * reach * reach
        size = min(SIZES, key=lambda size: COPY_COST * (1 + 2 / size) ** 2 + crowd * size * size)
        height = max(size * reach, LEAST_HEIGHT_DEG)
        return cls(reach, height, math.ceil(4 * math.pi / size))

    @property
    def half_width(self) -> float:
        """Half of what a circle spans in right ascension, in cells, at the most."""
        return WIDENING * self.reach_deg / self.height_deg


@dataclass(frozen=True)
class _Steps:
    """Makes the SELECTs of one side, one inside the other; each adds columns, whose names end in the number of the join.

    OFFSET 0 keeps PostgreSQL from merging them, so that what costs time is computed once a row. The relation is read once, because
    a second reading could give other rows (random(), LIMIT).
    """

    side: Side
    grid: Grid
    number: int

    def located(self) -> str:
        """Select a side with the one cell of each row."""
        zone = self._zone("_lat")
        rows = f"SELECT *, {zone} AS _zone, {self._cells(zone)} AS _cells FROM {POSITIONS} AS q OFFSET 0"  # noqa: S608 (our own names)
        # A longitude next to 360 may be rounded up to the end of the last cell.
        cell = f"(_zone * {ZONE} + GREATEST(LEAST(floor({ACROSS}), _cells - 1), 0))::bigint"
        return self._named(f"SELECT *, {ACROSS} AS _across, {cell} AS _cell FROM ({rows}) AS q")  # noqa: S608 (our own names)

    def copied(self) -> str:
        """Select a side with a copy of each row for every cell that its circle touches."""
        reach, half = f"{self.grid.reach_deg!r}::float8", f"{self.grid.half_width!r}::float8"
        zone = self._zone("(_lat + _shift)")
        crosses = f"{self._zone(f'(_lat + {reach})')} > {self._zone(f'(_lat - {reach})')}"
        rows = (
            f"SELECT q.*, {zone} AS _zone, {self._cells(zone)} AS _cells FROM {POSITIONS} AS q"  # noqa: S608 (our own names)
            f" JOIN (VALUES (-{reach}), ({reach})) AS c(_shift) ON _shift < 0 OR {crosses} OFFSET 0"
        )
        place = f"floor({ACROSS} + _step)"
        # West of longitude 0 is the last cell, east of the last one the first.
        turn = f"CASE WHEN {place} < 0 THEN _cells WHEN {place} >= _cells THEN -_cells ELSE 0 END"
        return self._named(
            f"SELECT q.*, {ACROSS} + {turn} AS _turned, (_zone * {ZONE} + {place} + {turn})::bigint AS _cell"  # noqa: S608 (our own names)
            f" FROM ({rows}) AS q JOIN (VALUES (-{half}), ({half})) AS c(_step)"
            f" ON _step < 0 OR floor({ACROSS} + {half}) > floor({ACROSS} - {half})"
        )

    def _positions(self) -> str:
        """Select a side with its position, longitude from 0 to 360; NULL where it is none."""
        side, alias = self.side, quote(self.side.alias)
        valid = f"({side.dec}) BETWEEN -90 AND 90 AND abs({side.ra}) < 1e9"
        lat = f"CASE WHEN {valid} THEN ({side.dec})::float8 END AS {self._filled('_lat')}"
        lon = f"({side.ra}) - 360::float8 * floor(({side.ra}) / 360::float8) AS {self._filled('_lon')}"
        return f"SELECT {alias}.*, {lat}, {lon} FROM {side.relation} AS {alias} OFFSET 0"  # noqa: S608 (text of a checked tree)

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

    def _named(self, rows: str) -> str:
        return f"({self._filled(rows).replace(POSITIONS, f'({self._positions()})')}) AS {quote(self.side.alias)}"

    def _filled(self, text: str) -> str:
        """Give the columns of this module their names."""
        return COLUMN.sub(lambda found: f"{found[0]}_{self.number}", text)

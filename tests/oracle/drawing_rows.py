"""Rows of a generated schema: positions where things go wrong, pairs a billionth nearer and farther than is asked for, keys."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.model import Database, TableRole
from schema.types import arrow_type
from tests.oracle.drawing_values import values
from tests.oracle.edges import SPECIAL_POSITIONS, corners
from tests.oracle.sphere import displaced

RADII_DEG = (0.001, 0.0203, 0.0497, 0.2003, 1.0007)
"""Distances that queries ask for. At smaller ones, rounding is more than a billionth."""

NEAR = (1 - 1e-9, 1 + 1e-9)
"""Of a distance that is asked for."""

CORNER_ORDERS = (0, 1, 2, 3)

UNPLACED = 0.06
"""Rows without position."""

BESIDE_DEG = (0.0, 0.0101, 0.15, 3.0)
"""Distances of rows from those that they refer to; no query asks for them, because rounding would decide."""

NO_KEY = -7
"""No director has a row of it, or by chance."""

WAYS = ("special", "corner", "corner", "pair", "pair", "beside", "same", "anywhere")
"""How a row comes to its position; those that need another row are special ones while there is none."""


def positions(random, count, others=()):
    """Return longitudes and latitudes (deg), NaN for none: some beside ``others``, positions of another table."""
    found = [*others]
    made = [_position(random, found) for _ in range(count)]
    placed = random.random(count) >= UNPLACED
    return tuple(np.where(placed, np.array([each[axis] for each in made], dtype=float), np.nan) for axis in (0, 1))


def _position(random, found):
    way = WAYS[random.integers(len(WAYS))]
    if way == "anywhere":
        place = (random.uniform(0, 360), np.degrees(np.arcsin(random.uniform(-1, 1))))
    elif way == "corner":
        order = int(random.choice(CORNER_ORDERS))
        ra, dec = corners(order, [int(random.integers(12 * 4**order))])
        corner = random.integers(len(ra))
        place = (ra[corner], dec[corner])
    elif way == "special" or not found:
        place = SPECIAL_POSITIONS[random.integers(len(SPECIAL_POSITIONS))]
    else:
        base = found[random.integers(len(found))]
        place = base if way == "same" else _away(random, base, way)
    found.append(tuple(map(float, place)))
    return found[-1]


def _away(random, base, way):
    distance = random.uniform(0, 1.5) if way == "beside" else random.choice(RADII_DEG) * random.choice(NEAR)
    ra, dec = displaced(*(np.array([value]) for value in (*base, distance, random.uniform(0, 2 * np.pi))))
    return ra[0], dec[0]


def rows_of(database, plan, seed):
    """Return the rows of each table, as a file holds them.

    Parameters
    ----------
    plan
        Of each table by its name: how many rows, its keys' start and step, how each other column is drawn.
    """
    making = _Making(database, np.random.default_rng(seed), {})
    for table in database.tables:
        making.made[table.name] = making.rows(table, plan[table.name])
    return making.made


@dataclass(frozen=True)
class _Making:
    database: Database
    random: np.random.Generator
    made: dict[str, pa.Table]
    """Rows by table: a director's before those of what refers to it."""

    def rows(self, table, drawn):
        keys = self._references if table.keeps_orphans else self._keys
        of_directors = {name: keys(director, drawn.count) for director, name in table.directors}
        count = min([len(keys) for keys in of_directors.values()], default=drawn.count)
        columns = {name: keys[:count] for name, keys in of_directors.items()}
        columns |= {name: self._references(director, count) for name, director in drawn.refers.items()}
        if drawn.key:
            columns[drawn.key] = pa.array(drawn.start + drawn.step * self.random.permutation(count).astype(np.int64))
        if table.ra:
            columns |= zip((table.ra, table.dec), self._positions(table, columns, count), strict=True)
        for column in table.columns:
            if column.name not in columns:
                columns[column.name] = values(self.random, drawn.columns[column.name], count, arrow_type(column))
        return pa.table({column.name: columns[column.name].cast(arrow_type(column)) for column in table.columns})

    def _director(self, name):
        """Return keys, longitudes and latitudes of a director's rows."""
        director, rows = self.database.by_name[name], self.made[name]
        return [rows[column].combine_chunks() for column in (director.director_key, director.ra, director.dec)]

    def _keys(self, director, count):
        """Return keys of director rows, some of them several times, some never; none if there is no row."""
        keys = self._director(director)[0]
        return keys.take(pa.array(self.random.integers(0, len(keys), count))) if len(keys) else keys

    def _references(self, director, count):
        """Return keys of a director's rows; some are NULL, some are of no row."""
        keys = self._director(director)[0]
        if not len(keys):
            return pa.nulls(count, keys.type)
        chosen = keys.take(pa.array(self.random.integers(0, len(keys), count), mask=self.random.random(count) < 0.2))
        nowhere, beside = (pa.array(self.random.random(count) < 0.1) for _ in range(2))
        chosen = pc.if_else(beside, pc.add(chosen, pa.scalar(1, keys.type)), chosen)
        return pc.if_else(nowhere, pa.scalar(NO_KEY, keys.type), chosen)

    def _positions(self, table, columns, count):
        """Return positions: of a dependent, beside its director's and none where that has none; else beside a row or anywhere."""
        if table.role is TableRole.DEPENDENT:
            found = self._beside(table.director, columns[table.director_key], BESIDE_DEG)
            orphans = ~pc.is_in(columns[table.director_key], self._director(table.director)[0]).to_numpy(zero_copy_only=False)
            if orphans.any():
                found = [np.where(orphans, own, near) for own, near in zip(positions(self.random, count), found, strict=True)]
        else:
            known = [self._director(name)[1:] for name in self.made if self.database.by_name[name].role is TableRole.DIRECTOR]
            both = [place for axes in known for place in zip(*(axis.to_pylist() for axis in axes), strict=True)]
            found = positions(self.random, count, [place for place in both if None not in place])
            for key in table.foreign_keys:
                beside = self._beside(key.target_table, columns[key.columns[0]], BESIDE_DEG[:-1])
                refers = ~np.isnan(beside[0])
                found = [np.where(refers, near, far) for near, far in zip(beside, found, strict=True)]
        return [pa.array(axis, pa.float64(), from_pandas=True) for axis in found]

    def _beside(self, director, keys, distances):
        """Return positions at one of some distances from that of the row of each key, NaN for none."""
        known, *axes = self._director(director)
        place = pc.index_in(keys, known)
        ra, dec = (axis.take(place).to_numpy(zero_copy_only=False).astype(float) for axis in axes)
        return displaced(ra, dec, self.random.choice(distances, len(ra)), self.random.uniform(0, 2 * np.pi, len(ra)))

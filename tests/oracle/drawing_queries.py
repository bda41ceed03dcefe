"""Hypothesis draws queries over a generated catalogue, made by the same generators as those over the tables of the tests."""

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

from schema.model import ColumnType, TableRole
from schema.physical import quote
from tests.oracle.composing import Composer
from tests.oracle.drawing_rows import RADII_DEG
from tests.oracle.drawing_values import FLOATS, INTEGERS, KINDS, TAME, WILD, literal
from tests.oracle.generating import Column, Generator, Source
from tests.oracle.regions import PLACES

LARGEST_SUMMABLE = 2**40
"""Of an integer that is in sums: squares of larger ones are rounded by more than the comparison allows."""

CONSTANTS = {
    **dict.fromkeys(INTEGERS, ("0", "-1", "40000", "9007199254740993", "99999999999999999999")),
    **dict.fromkeys(FLOATS, ("0", "0.125", "1.5")),
    ColumnType.BOOLEAN: (),
    ColumnType.TIMESTAMP: ("'2000-01-01'", "'2026-01-05 12:00:00'"),
    ColumnType.BINARY: ("CAST('\\x00' AS BYTEA)",),
}
"""Values that columns are compared with, beside their own."""

TEXT_CONSTANTS = ("''", "'a'", "'日本'", "'it''s'")

SEEDED = 4
"""Queries of one seed."""

OWN_CONSTANTS = 4
"""Values of a column itself."""


@dataclass(frozen=True)
class Asked:
    """What the generators of queries need of a catalogue."""

    sources: tuple[Source, ...]
    links: tuple[tuple[str, str], ...]
    places: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, tables, plan):
        sources, keys, places = [], [], list(PLACES)
        for number, table in enumerate(tables.database.tables):
            alias, rows = f"a{number}", tables.rows[table.name]
            sources.append(_source(f"{quote(tables.database.name)}.{quote(table.name)} {alias}", table, rows, plan[table.name]))
            keys += [(f"{alias}.{quote(column)}", director) for column, director in _references(table)]
            if table.ra:
                both = zip(rows[table.ra].to_pylist(), rows[table.dec].to_pylist(), strict=True)
                places += [place for place in both if None not in place][:OWN_CONSTANTS]
        links = [
            (one, other)
            for place, (one, of) in enumerate(keys)
            for other, too in keys[:place]
            if of == too and one[:3] != other[:3]
        ]
        # Numbers of any table are equal here and there.
        first = [next(column.name for column in source.columns if column.kind == "integer") for source in sources]
        return cls(tuple(sources), (*links, *itertools.pairwise(first)), tuple(places))


@st.composite
def queries(draw, asked):
    """Draw one or a few queries: each of one table, or made of queries of several."""
    # What Hypothesis draws itself is often at an end, or the same twice. It takes 20 times as long as a generator that it seeds.
    own = draw(st.sampled_from((False, False, True)))
    random = draw(st.randoms(use_true_random=not own))
    kinds = [random.choice((Generator, Composer, Composer)) for _ in range(1 if own else SEEDED)]
    return [kind(random, asked.sources, asked.links, asked.places, RADII_DEG).query() for kind in kinds]


def _references(table):
    """Yield the columns that hold keys of a director, and the director."""
    if table.role is TableRole.DIRECTOR:
        yield table.director_key, table.name
    for director, name in table.directors:
        yield name, director
    for key in table.foreign_keys:
        yield key.columns[0], key.target_table


def _source(text, table, rows, plan):
    alias = text.split()[-1]
    columns = [_column(column, rows[column.name], plan.columns.get(column.name), alias) for column in table.columns]
    positions = ((f"{alias}.{quote(table.ra)}", f"{alias}.{quote(table.dec)}"),) if table.ra else ()
    few = [name for name, drawn in plan.columns.items() if drawn.profile != TAME or drawn.datatype is ColumnType.BOOLEAN]
    grouping = [f"{alias}.{quote(name)}" for name in few]
    grouping += [f"{alias}.{quote(name)} % 3" for name, drawn in plan.columns.items() if drawn.datatype in INTEGERS]
    grouping.append(f"{columns[-1].name} IS NULL")
    # The first column of a source is an integer, as keys are.
    columns.sort(key=lambda column: column.kind != "integer")
    return Source(text, tuple(columns), positions, tuple(grouping))


def _column(column, values, drawn, alias):
    own = [value for value in dict.fromkeys(values.to_pylist()) if value is not None]
    constants = [literal(value, column.datatype) for value in own[:: max(1, len(own) // OWN_CONSTANTS)]]
    constants += CONSTANTS.get(column.datatype, TEXT_CONSTANTS)
    summable = drawn.profile != WILD if drawn else all(-LARGEST_SUMMABLE < value < LARGEST_SUMMABLE for value in own)
    return Column(f"{alias}.{quote(column.name)}", KINDS[column.datatype], tuple(constants), summable=summable)

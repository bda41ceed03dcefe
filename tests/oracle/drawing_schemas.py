"""Hypothesis draws catalogues: databases with tables of every role, and the seed of their rows."""

from dataclasses import dataclass, field
from functools import cached_property

from hypothesis import strategies as st

from schema.check import problems
from schema.model import Column, ColumnType, Database, ForeignKey, Frame, Orphans, Table, TableRole, TimeSystem
from tests.oracle.drawing_rows import rows_of
from tests.oracle.drawing_values import EMPTY, INTEGERS, PROFILES, TEXTS, WILD, Drawn
from tests.oracle.loading import Tables

TABLES = (
    *("object", "select", "Order", "group", "user", "table", "Kind", "merged", "partials", "s0", "t0", "natural", "end", "x"),
    *("filter", "values", "with", "lateral", "source", "qserv_reader", "Tableau_2", "n" * 34),
)
"""Names that SQL reserves, that tell upper from lower case, that the engine gives things of its own, and the longest."""

COLUMNS = (
    *("select", "Order", "group", "user", "size", "Kind", "value", "end", "x", "X1", "desc", "natural", "offset", "all", "date"),
    *("timestamp", "point", "distance", "key", "chunk", "count", "c0", "c1", "a0", "a0_n", "k0", "_x", "merged", "number", "left"),
    *("nan", "null_count", "band", "mag", "flag", "note", "taken", "m" * 63),
)

KEY_NAMES = ("id", "object_id", "Id", "primary", "ID_2", "ordinality")

POSITION_NAMES = (("ra", "dec"), ("RA", "DE"), ("raj2000", "dej2000"), ("c0", "c1"), ("long", "lat"))

OVERLAPS_DEG = (0.0, 0.05, 0.3, 1.5)

CHUNK_TARGET_ROWS = (1000, 12, 5, 2)

COUNTS = (12, 30, 60, 20, 1, 45, 8, 0)
"""Rows of a table."""

KEY_STARTS = (1, 0, -5, -(2**15), 2**31 - 400, 2**53 - 9, 2**55 + 1, 2**63 - 400, -(2**63))

LENGTH = 40
"""Of texts that have one."""

FRAME = Frame(epoch="J2000")
UTC = TimeSystem("UTC", "BARYCENTER")


@dataclass(frozen=True)
class DrawnTable:
    """How the rows of a table are drawn: their number, the keys, the columns, and what refers to which director."""

    count: int
    key: str | None = None
    start: int = 0
    step: int = 1
    columns: dict[str, Drawn] = field(default_factory=dict)
    refers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """A database and its rows, which are made of a plan and a seed."""

    database: Database
    plan: dict[str, DrawnTable]
    seed: int
    chunk_target_rows: int

    @cached_property
    def tables(self):
        """The tables with their rows."""
        return Tables(self.database, rows_of(self.database, self.plan, self.seed), self.chunk_target_rows)


@st.composite
def catalogues(draw):
    """Draw a catalogue: one or two directors, dependents of each, pairs, replicated tables."""
    names = draw(st.lists(st.sampled_from(TABLES), min_size=8, max_size=8, unique_by=str.lower))
    overlap_deg = draw(st.sampled_from(OVERLAPS_DEG))
    tables, plan = [], {}

    def add(made):
        table, drawn = made
        tables.append(table)
        plan[table.name] = drawn
        return table

    first = add(draw(_directors(names.pop(), None)))
    directors = [first]
    if draw(st.booleans()):
        directors.append(add(draw(_directors(names.pop(), first))))
    for director in directors:
        for _ in range(draw(st.integers(director is first, 2))):
            add(draw(_dependents(names.pop(), director)))
    if draw(st.booleans()):
        add(draw(_pairs(names.pop(), first, directors[-1])))
    add(draw(_replicated(names.pop())))
    database = Database("drawn", "drawn_family", tuple(tables), overlap_deg=overlap_deg)
    wrong = problems(database)
    assert not wrong, wrong
    seed, target = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(CHUNK_TARGET_ROWS))
    return Catalogue(database, plan, seed, target)


@st.composite
def _columns(draw, taken, least):
    """Draw columns with names that are not taken, and how their values are drawn."""
    free = [name for name in COLUMNS if name.lower() not in {each.lower() for each in taken}]
    names = draw(st.lists(st.sampled_from(free), min_size=least, max_size=6, unique_by=str.lower))
    columns, drawn = [], {}
    for place, name in enumerate(names):
        # The first one may be summed and compared with others.
        datatype = draw(st.sampled_from((ColumnType.INT, ColumnType.LONG, ColumnType.SHORT) if place == 0 else tuple(ColumnType)))
        profile = draw(st.sampled_from(PROFILES))
        nullable = profile in {WILD, EMPTY} or draw(st.booleans())
        length = LENGTH if datatype in TEXTS and datatype is not ColumnType.TEXT and draw(st.booleans()) else None
        keeps_nan = datatype in {ColumnType.FLOAT, ColumnType.DOUBLE} and draw(st.booleans())
        columns.append(
            Column(name, datatype, length=length, nullable=nullable or datatype is ColumnType.DOUBLE, keep_nan=keeps_nan)
        )
        drawn[name] = Drawn(datatype, profile, draw(st.sampled_from((0.0, 0.1, 0.6))) if nullable else 0.0)
    return columns, drawn


@st.composite
def _keys(draw):
    """Draw the type of a key, where it starts and its step."""
    datatype = draw(st.sampled_from((ColumnType.LONG, ColumnType.INT, ColumnType.SHORT)))
    fitting = [start for start in KEY_STARTS if -INTEGERS[datatype] <= start < INTEGERS[datatype] - 300]
    return datatype, draw(st.sampled_from(fitting)), draw(st.sampled_from((1, 3)))


@st.composite
def _directors(draw, name, target):
    datatype, start, step = draw(_keys())
    key_name, (ra, dec) = draw(st.sampled_from(KEY_NAMES)), draw(st.sampled_from(POSITION_NAMES))
    columns, drawn = draw(_columns((key_name, ra, dec), 2))
    refers, keys = {}, ()
    if target is not None and draw(st.booleans()):
        to = target.by_name[target.director_key]
        column = Column("refers_to", to.datatype)
        columns.append(column)
        refers = {column.name: target.name}
        within = draw(st.sampled_from((None, 0.05, 0.3)))
        keys = (ForeignKey(f"{name}_fk", (column.name,), target.name, (to.name,), max_separation_deg=within),)
    key = Column(key_name, datatype, nullable=False, ucd="meta.id;meta.main")
    place = [
        Column(each, ColumnType.DOUBLE, unit="deg", ucd=f"pos.eq.{axis};meta.main") for each, axis in ((ra, "ra"), (dec, "dec"))
    ]
    others = [key, *place, *columns]
    primary = draw(st.sampled_from(((), (key_name,), (key_name, columns[0].name))))
    table = Table(
        name,
        TableRole.DIRECTOR,
        tuple(draw(st.permutations(others)) if draw(st.booleans()) else others),
        primary_key=primary if all(not _by_name(others)[each].nullable for each in primary) else (),
        ra=ra,
        dec=dec,
        director_key=key_name,
        frame=FRAME,
        time_system=UTC,
        foreign_keys=keys,
    )
    return table, DrawnTable(draw(st.sampled_from(COUNTS)), key_name, start, step, drawn, refers)


@st.composite
def _dependents(draw, name, director):
    key_name = draw(st.sampled_from((director.director_key, "of_id")))
    has_position = draw(st.booleans())
    ra, dec = draw(st.sampled_from(POSITION_NAMES)) if has_position else (None, None)
    columns, drawn = draw(_columns((key_name, ra or "", dec or ""), 2))
    keeps_orphans = has_position and draw(st.booleans())
    key = Column(key_name, director.by_name[director.director_key].datatype, nullable=keeps_orphans)
    place = [Column(each, ColumnType.DOUBLE, unit="deg") for each in (ra, dec) if each]
    table = Table(
        name,
        TableRole.DEPENDENT,
        (key, *place, *columns),
        ra=ra,
        dec=dec,
        director=director.name,
        director_key=key_name,
        orphans=Orphans.KEEP if keeps_orphans else Orphans.REJECT,
        overlap=has_position and draw(st.booleans()),
        frame=FRAME if has_position else None,
        time_system=UTC,
        indexes=((columns[0].name,),) if draw(st.booleans()) else (),
    )
    return table, DrawnTable(draw(st.sampled_from((30, 12, 100, 1, 0))), columns=drawn)


@st.composite
def _pairs(draw, name, first, second):
    columns, drawn = draw(_columns(("one", "Other"), 1))
    keys = [
        Column(each, director.by_name[director.director_key].datatype, nullable=False)
        for each, director in (("one", first), ("Other", second))
    ]
    table = Table(
        name,
        TableRole.REF_MATCH,
        (*keys, *columns),
        director=first.name,
        director_key="one",
        second_director=second.name,
        second_director_key="Other",
        time_system=UTC,
    )
    return table, DrawnTable(draw(st.sampled_from((20, 5, 0))), columns=drawn)


@st.composite
def _replicated(draw, name):
    columns, drawn = draw(_columns((), 2))
    return Table(name, TableRole.REPLICATED, tuple(columns), time_system=UTC), DrawnTable(
        draw(st.sampled_from((8, 1, 0, 40))), columns=drawn
    )


def _by_name(columns):
    return {column.name: column for column in columns}

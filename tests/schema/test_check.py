"""Each rule that a database must keep, broken once: exactly one problem is found, and it says where."""

from dataclasses import replace

import pytest

from schema.check import problems
from schema.model import Column, ColumnType, Database, ForeignKey, Frame, Orphans, Table, TableRole, Versions

KEY = Column("id", ColumnType.LONG, nullable=False, ucd="meta.id;meta.main")
RA = Column("ra", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main")
DEC = Column("dec", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main")
FLUX = Column("flux", ColumnType.FLOAT)
DIRECTOR = Table(
    name="object",
    role=TableRole.DIRECTOR,
    columns=(KEY, RA, DEC, FLUX),
    primary_key=("id",),
    ra="ra",
    dec="dec",
    director_key="id",
    frame=Frame(),
)
DEPENDENT = Table(
    name="source",
    role=TableRole.DEPENDENT,
    columns=(Column("id", ColumnType.LONG), Column("visit", ColumnType.INT)),
    director="object",
    director_key="id",
)
REPLICATED = Table("visit", TableRole.REPLICATED, (Column("visit", ColumnType.INT),))
REF_MATCH = Table(
    "pair",
    TableRole.REF_MATCH,
    (Column("one", ColumnType.LONG), Column("other", ColumnType.INT), Column("score", ColumnType.FLOAT)),
    director="object",
    director_key="one",
    second_director="object",
    second_director_key="other",
)
GOOD = Database("dr1", "dr", (DIRECTOR, DEPENDENT, REPLICATED))


def director(**changes):
    return replace(GOOD, tables=(replace(DIRECTOR, **changes), DEPENDENT, REPLICATED))


def dependent(**changes):
    return replace(GOOD, tables=(DIRECTOR, replace(DEPENDENT, **changes), REPLICATED))


def replicated(**changes):
    return replace(GOOD, tables=(DIRECTOR, DEPENDENT, replace(REPLICATED, **changes)))


def matched(**changes):
    return replace(GOOD, tables=(*GOOD.tables, replace(REF_MATCH, **changes)))


def refers(**changes):
    key = ForeignKey("k", ("visit",), "visit", ("visit",))
    return dependent(foreign_keys=(replace(key, **changes),))


VERSIONS = Versions("start", "end", "former", 0.0)
TIMES = (Column("start", ColumnType.DOUBLE, nullable=False), Column("end", ColumnType.DOUBLE))


def followed(*, times=TIMES, versions=VERSIONS, **changes):
    return director(columns=(*DIRECTOR.columns, *times), versions=versions, **changes)


def replaced(*, key=ColumnType.LONG, **changes):
    own = {"columns": (*DEPENDENT.columns, Column("number", key, nullable=False), *TIMES), "primary_key": ("number",)}
    return dependent(**(own | {"versions": VERSIONS} | changes))


def test_a_good_database_has_no_problem():
    assert problems(followed()) == []
    assert problems(replaced()) == []
    assert problems(GOOD) == []
    assert problems(refers()) == []
    assert problems(matched()) == []
    assert problems(dependent(director_ra="of_files", director_dec="alone")) == []


def test_ucds_are_compared_without_case_or_blanks():
    assert problems(director(columns=(replace(KEY, ucd="META.ID; meta.main"), RA, DEC, FLUX))) == []


BROKEN = {
    "database name": (replace(GOOD, name="dr-1"), "database name 'dr-1' must begin"),
    "long database name": (replace(GOOD, name="d" * 29), "is longer than 28 characters"),
    "family name": (replace(GOOD, family="1dr"), "family name '1dr' must begin"),
    "taken schema": (replace(GOOD, name="qserv"), "database name 'qserv' is taken"),
    "provenance": (replace(GOOD, name="Provenance"), "database name 'Provenance' is taken"),
    "PostgreSQL's schema": (replace(GOOD, name="pg_dr"), "database name 'pg_dr' is taken"),
    "no table": (replace(GOOD, tables=()), "there is no table"),
    "tables that differ by case": (
        replace(GOOD, tables=(*GOOD.tables, replace(REPLICATED, name="Visit"))),
        "table visit occurs 2 times",
    ),
    "table name": (replicated(name="visit 1"), "visit 1: a table name must begin"),
    "long table name": (replicated(name="v" * 35), "at most 34 characters"),
    "chunk's name": (replicated(name="object_12"), "object_12: the name would be that of a chunk of table object"),
    "overlap's name": (replicated(name="Object_12_overlap"), "would be that of a chunk of table object"),
    "pixel's name": (director(columns=(*DIRECTOR.columns, Column("_HEALPIX_29", ColumnType.LONG))), "taken by the pixel column"),
    "nearest neighbour's name": (
        director(columns=(*DIRECTOR.columns, Column("_Nearest_deg", ColumnType.DOUBLE))),
        "taken by a column about near neighbours",
    ),
    "friends' name": (
        director(columns=(*DIRECTOR.columns, Column("_friends", ColumnType.LONG))),
        "taken by a column about near neighbours",
    ),
    "system column": (director(columns=(*DIRECTOR.columns, Column("xmin", ColumnType.LONG))), "object.xmin: the name is taken"),
    "column name": (director(columns=(*DIRECTOR.columns, Column("a b", ColumnType.LONG))), "object.a b: a column name holds"),
    "long column name": (director(columns=(*DIRECTOR.columns, Column("c" * 64, ColumnType.LONG))), "a column name holds"),
    "columns that differ by case": (
        director(columns=(*DIRECTOR.columns, replace(FLUX, name="FLUX"))),
        "column flux occurs 2 times",
    ),
    "too many columns": (
        replicated(columns=tuple(Column(f"c{place}", ColumnType.INT) for place in range(1601))),
        "there are 1601; PostgreSQL allows 1600",
    ),
    "NaN of an integer": (replicated(columns=(Column("visit", ColumnType.INT, keep_nan=True),)), "nan: keep has no meaning"),
    "no length": (replicated(columns=(Column("visit", ColumnType.STRING, length=0),)), "length 0 must be at least 1"),
    "derived from nothing": (replicated(columns=(Column("visit", ColumnType.INT, derived_by="f"),)), "names both its function and"),
    "primary key": (replicated(primary_key=("x",)), "visit: primary key: there is no column x"),
    "nullable primary key": (replicated(primary_key=("visit",)), "primary key: column visit must have nullable: false"),
    "index": (replicated(indexes=(("visit", "x"),)), "visit: index (visit, x): there is no column x"),
    "index twice": (replicated(indexes=(("visit", "visit"),)), "index (visit, visit): column visit occurs 2 times"),
    "key to no table": (refers(target_table="x"), "source: foreign key k: there is no table x"),
    "key from no column": (refers(columns=("x",)), "foreign key k: there is no column source.x"),
    "key to no column": (refers(target_columns=("x",)), "foreign key k: there is no column visit.x"),
    "key of two types": (refers(columns=("id",)), "column id is long, and visit.visit is int"),
    "key of two lengths": (refers(target_columns=("visit", "visit")), "it must name as many columns as it refers to"),
    "separation of no position": (refers(max_separation_deg=1.0), "a maximum separation needs positions in both"),
    "float32 position": (director(columns=(KEY, replace(RA, datatype=ColumnType.FLOAT), DEC)), "object: ra: column ra is float"),
    "position in hours": (director(columns=(KEY, replace(RA, unit="h"), DEC)), "ra: column ra has unit h"),
    "half a position": (dependent(ra="id"), None),
    "no frame": (director(frame=None), "declares its frame"),
    "other frame": (director(frame=Frame("FK5")), "frame: positions are ICRS, not FK5"),
    "no time system": (dependent(columns=(*DEPENDENT.columns, Column("t", ColumnType.TIMESTAMP))), "declares its time_system"),
    "director of a director": (director(director="visit"), "a director table has no director"),
    "float key": (director(columns=(replace(KEY, datatype=ColumnType.DOUBLE), RA, DEC)), "director_key: column id is double"),
    "nullable key": (director(columns=(replace(KEY, nullable=True), RA, DEC), primary_key=()), "director_key: column id must have"),
    "no main identifier": (director(columns=(replace(KEY, ucd="meta.id"), RA, DEC)), "no column has it"),
    "two main longitudes": (director(columns=(KEY, RA, replace(RA, name="ra2"), DEC)), "2 columns have it: ra, ra2"),
    "another main latitude": (
        director(columns=(KEY, RA, replace(DEC, ucd=None), replace(DEC, name="dec2"))),
        "UCD pos.eq.dec;meta.main belongs to column dec, not to dec2",
    ),
    "no director": (dependent(director=None), "source: a dependent table names its director"),
    "unknown director": (dependent(director="x"), "director: there is no table x"),
    "director that is none": (dependent(director="visit"), "director: table visit is replicated, not a director"),
    "no director key": (dependent(director_key=None), "names the column that holds its director's key"),
    "unknown director key": (dependent(director_key="x"), "director_key: there is no column x"),
    "half a position of the director": (dependent(director_ra="x"), "director_ra and director_dec are named both or not at all"),
    "position of the director in hours": (
        dependent(columns=(*DEPENDENT.columns, replace(RA, unit="h"), DEC), director_ra="ra", director_dec="dec"),
        "director_ra: column ra has unit h",
    ),
    "position of the director of a director": (
        director(director_ra="ra", director_dec="dec"),
        "only a dependent carries the position of its director",
    ),
    "overlap without position": (dependent(overlap=True), "overlap: it is that of positions"),
    "overlap of a director": (director(overlap=True), "only a dependent is asked for overlap"),
    "orphans without position": (dependent(orphans=Orphans.KEEP), "they are kept by their own position"),
    "orphans of a replicated table": (replicated(orphans=Orphans.KEEP), "only a dependent has rows that its director lacks"),
    "replicated with a director": (replicated(director="object"), "a replicated table has no director"),
    "a match of nothing": (replicated(role=TableRole.REF_MATCH), "a ref-match table names two directors and the columns that hold"),
    "a match of one": (matched(second_director=None), "a ref-match table names two directors and the columns that hold"),
    "a match with a dependent": (matched(second_director="source"), "second_director: table source is dependent, not a director"),
    "a match with nothing": (matched(second_director="x"), "second_director: there is no table x"),
    "a match by a number": (
        matched(second_director_key="score"),
        "second_director_key: column score is float; a key is an integer",
    ),
    "a match by no column": (matched(second_director_key="x"), "second_director_key: there is no column x"),
    "a match by one column": (matched(second_director_key="one"), "column one cannot hold both keys"),
    "versions of a replicated table": (replicated(versions=VERSIONS), "only rows of a director or a dependent are followed"),
    "versions without a beginning": (followed(times=TIMES[1:]), "versions: start: there is no such column"),
    "versions of two types": (followed(times=(TIMES[0], Column("end", ColumnType.LONG))), "start and end are of one type"),
    "versions that never end": (followed(times=(TIMES[0], replace(TIMES[1], nullable=False))), "NULL in the last version"),
    "versions far away": (followed(versions=replace(VERSIONS, margin_deg=1.0)), "overlap_deg must be at least twice margin_arcsec"),
    "versions of no key": (replaced(primary_key=()), "rows follow others of the same primary key"),
    "versions of a text": (replaced(key=ColumnType.STRING), "primary key column number must be an integer"),
    "versions by position": (replaced(director_ra="of_files", director_dec="alone"), "versions: its rows are placed by their key"),
    "withdrawn objects": (followed(versions=replace(VERSIONS, withdrawn="end")), "rows of a director are not withdrawn"),
    "withdrawn by no column": (replaced(versions=replace(VERSIONS, withdrawn="x")), "there must be a column x with nullable: true"),
    "a second director of a dependent": (dependent(second_director="object"), "only a ref-match table has a second director"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_one_problem(rule):
    database, expected = BROKEN[rule]
    if expected is None:
        assert "source: ra and dec are named both or not at all" in problems(database)
    else:
        (problem,) = problems(database)
        assert expected in problem


def test_a_director_without_position_and_key_is_told_all():
    found = problems(director(ra=None, dec=None, director_key=None, frame=None))
    assert any("names its position columns" in problem for problem in found)
    assert any("names its key column" in problem for problem in found)

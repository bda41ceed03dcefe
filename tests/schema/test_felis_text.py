"""What is written of a database is read as the same database."""

import dataclasses
from pathlib import Path

import pytest

from schema.catalogues import schema_path
from schema.felis import read_database
from schema.felis_text import felis_text, partition_text
from schema.model import Column, ColumnType, Database, Frame, Table, TableRole, TimeSystem

TESTS = Path(__file__).parents[1]
SURVEY, EDGES = TESTS / "support" / "survey.yaml", TESTS / "oracle" / "schema" / "edges.yaml"

SIZED = (ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.BINARY)

EVERY = Table(
    "every",  # as its database
    TableRole.DIRECTOR,
    (
        Column("id", ColumnType.LONG, "Key.", nullable=False, ucd="meta.id;meta.main", principal=True, std=True),
        Column("ra", ColumnType.DOUBLE, "a: b # c", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", keep_nan=True),
        Column("every", ColumnType.SHORT, utype="a:b.c"),
        *(Column(kind.value, kind) for kind in (ColumnType.BOOLEAN, ColumnType.INT, ColumnType.TEXT, ColumnType.TIMESTAMP)),
        *(
            Column(kind.value, kind, length=7)
            for kind in (ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.BINARY)
        ),
        Column("endless", ColumnType.UNICODE),
        Column("shape", ColumnType.TEXT, xtype="polygon"),
        Column("made", ColumnType.FLOAT, unit="mas.yr**-1", derived_by="renamed", derived_from=("a", "b")),
    ),
    primary_key=("id",),
    description="yes",
    ra="ra",
    dec="dec",
    director_key="id",
    frame=Frame("ICRS", "J2016", proper_motion_ra_includes_cos_dec=False),
    time_system=TimeSystem("TAI", "TOPOCENTER", "MJD-origin"),
    indexes=(("every", "int"), ("boolean",)),
)


def there_and_back(database, directory):
    path = directory / "text.yaml"
    path.write_text(felis_text(database))
    (directory / "text.partition.yaml").write_text(partition_text(database))
    return read_database(path)


def test_everything_that_can_be_declared(tmp_path):
    database = Database("every", "family", (EVERY,), overlap_deg=0.125, version="null")
    assert there_and_back(database, tmp_path) == database
    assert there_and_back(dataclasses.replace(database, version=""), tmp_path).version == ""


@pytest.mark.parametrize("path", [schema_path("stars"), SURVEY, EDGES], ids=["stars", "survey", "edges"])
def test_catalogues(tmp_path, path):
    database = read_database(path)
    assert there_and_back(database, tmp_path) == database

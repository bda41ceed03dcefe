"""The schema of one table of a database, without the tables on which it hung."""

from dataclasses import replace

from czar.service.models import TableDeclaration
from export.meaning import write_schema_of_table
from schema.felis import read_database
from schema.model import Column, ColumnType, ForeignKey, Frame, Orphans, Table, TableRole
from schema.serialise import table_to_json

SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (
        Column("source_id", ColumnType.LONG, nullable=False, ucd="meta.id;meta.main"),
        Column("object_id", ColumnType.LONG, ucd="meta.id.cross"),
        Column("before", ColumnType.LONG),
        Column("ra", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", ColumnType.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main"),
    ),
    ("source_id",),
    ra="ra",
    dec="dec",
    director="object",
    director_key="object_id",
    director_ra="ra",
    director_dec="dec",
    orphans=Orphans.KEEP,
    frame=Frame(),
    foreign_keys=(
        ForeignKey("source_object", ("object_id",), "object", ("id",)),
        ForeignKey("source_before", ("before",), "source", ("source_id",)),
    ),
)


def written(table, directory):
    declaration = TableDeclaration(
        database="survey",
        description="",
        version="1",
        family="sky",
        overlap_deg=0.5,
        table=table_to_json(table),
        rows=0,
        edition="",
    )
    path = write_schema_of_table(directory, declaration, table)
    return read_database(path), (directory / "survey.partition.yaml").read_text()


def test_dependent_with_a_key_and_a_position_becomes_a_director(tmp_path):
    database, text = written(SOURCE, tmp_path)
    (table,) = database.tables
    assert (table.role, table.director_key, table.directors) == (TableRole.DIRECTOR, "source_id", ())
    assert (table.columns, table.frame) == (SOURCE.columns, SOURCE.frame)
    assert [key.name for key in table.foreign_keys] == ["source_before"]
    assert text.startswith(
        "# Foreign key source_object is left out: table object is not here.\n# source hung on object, which is not"
    )
    assert (database.family, database.overlap_deg) == ("sky", 0.5)


def test_dependent_without_a_key_becomes_whole_on_every_node(tmp_path):
    database, _ = written(replace(SOURCE, primary_key=(), foreign_keys=()), tmp_path)
    assert database.tables[0].role is TableRole.REPLICATED
    assert database.tables[0].columns == SOURCE.columns

"""TAP_SCHEMA describes every database, provenance and itself included."""

from dataclasses import replace

import pytest
from astropy.io.votable.ucd import parse_ucd

from schema.catalogues import schema_path
from schema.check import problems
from schema.felis import read_database
from schema.model import Column, ColumnType, Database, Table, TableRole
from schema.provenance import PROVENANCE
from schema.reserved import RESERVED, adql_name, is_regular
from schema.tap_schema import TAP_SCHEMA, tap_schema_rows

STANDARD = {
    "schemas": {"schema_name", "utype", "description", "schema_index"},
    "tables": {"schema_name", "table_name", "table_type", "utype", "description", "table_index"},
    "columns": {
        *("table_name", "column_name", "datatype", "arraysize", "xtype", "size", "description", "utype", "unit", "ucd"),
        *("indexed", "principal", "std", "column_index"),
    },
    "keys": {"key_id", "from_table", "target_table", "description", "utype"},
    "key_columns": {"key_id", "from_column", "target_column"},
}


@pytest.fixture(scope="module")
def rows():
    found = tap_schema_rows([read_database(schema_path("stars"))])
    return {name: table.to_pylist() for name, table in found.items()}


def column(rows, table, name):
    (row,) = [row for row in rows["columns"] if (row["table_name"], row["column_name"]) == (table, name)]
    return row


def test_tables_and_columns_are_those_of_the_standard():
    assert {table.name: set(table.by_name) for table in TAP_SCHEMA.tables} == STANDARD


@pytest.mark.parametrize("database", [TAP_SCHEMA, PROVENANCE])
def test_what_is_always_there_is_described_as_all_else(database):
    assert problems(replace(database, name="any")) == []
    columns = [column for table in database.tables for column in table.columns]
    assert all(column.description for column in columns)
    for column in columns:
        parse_ucd(column.ucd or "meta", check_controlled_vocabulary=True)


def test_it_lists_the_databases_given_provenance_and_itself(rows):
    listed = [(row["schema_name"], row["schema_index"]) for row in rows["schemas"]]
    assert listed == [("stars", 1), ("provenance", 2), ("tap_schema", 3)]
    assert [row["table_name"] for row in rows["tables"]] == [
        "stars.hipparcos",
        "stars.bigsky",
        "provenance.transactions",
        "provenance.contributions",
        *(f"tap_schema.{name}" for name in STANDARD),
    ]


def test_given_itself_it_lists_itself_once():
    assert tap_schema_rows([TAP_SCHEMA])["schemas"].num_rows == 2


def test_every_reference_between_its_tables_holds(rows):
    tables = {row["table_name"] for row in rows["tables"]}
    columns = {(row["table_name"], row["column_name"]) for row in rows["columns"]}
    keys = {row["key_id"]: row for row in rows["keys"]}
    assert {table for table, _ in columns} == tables
    assert len(columns) == len(rows["columns"])
    assert len(keys) == len(rows["keys"])
    for row in rows["key_columns"]:
        key = keys[row["key_id"]]
        assert (key["from_table"], row["from_column"]) in columns
        assert (key["target_table"], row["target_column"]) in columns
    assert keys["stars.bigsky_hip"]["target_table"] == "stars.hipparcos"


def test_columns_carry_type_unit_and_ucd(rows):
    ra = column(rows, "stars.hipparcos", "ra_degrees")
    assert (ra["datatype"], ra["arraysize"], ra["unit"], ra["ucd"]) == ("double", None, "deg", "pos.eq.ra;meta.main")
    assert (ra["principal"], ra["indexed"], ra["std"], ra["column_index"]) == (1, 0, 0, 2)
    tyc_id = column(rows, "stars.bigsky", "tyc_id")
    assert (tyc_id["datatype"], tyc_id["arraysize"], tyc_id["size"]) == ("char", "12*", 12)
    assert column(rows, "stars.bigsky", "hip")["indexed"] == 1


def test_the_pixel_is_not_listed_because_select_star_leaves_it_out(rows):
    assert not [row for row in rows["columns"] if "healpix" in row["column_name"]]


def test_names_that_adql_reserves_are_delimited_also_in_keys(rows):
    assert column(rows, "tap_schema.columns", '"size"')["datatype"] == "int"
    names = [row["column_name"] for row in rows["columns"]]
    assert all(is_regular(name) or name.startswith('"') for name in names)


def test_times_are_texts_with_an_xtype():
    table = Table("t", TableRole.REPLICATED, (Column("seen", ColumnType.TIMESTAMP),))
    (row, *_) = tap_schema_rows([Database("d", "d", (table,))])["columns"].to_pylist()
    assert (row["datatype"], row["arraysize"], row["xtype"], row["size"]) == ("char", "*", "timestamp", None)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("ra", "ra"),
        ("dec", "dec"),
        ("diaObjectId", "diaObjectId"),
        ("size", '"size"'),
        ("Distance", '"Distance"'),
        ("_healpix_29", '"_healpix_29"'),
        ('a"b', '"a""b"'),
        ("été", '"été"'),
    ],
)
def test_adql_names(name, written):
    assert adql_name(name) == written


def test_reserved_words_of_both_origins_are_known():
    assert {"SELECT", "YEAR", "TOP", "ILIKE", "IN_UNIT", "COORDSYS"} <= RESERVED
    assert not {"DEC", "LIMIT", "MAGNITUDE"} & RESERVED

"""What is written as JSON is read back equal, also through JSON text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qserv.errors import SchemaError
from schema.model import Column, ColumnType, Database, ForeignKey, Frame, Orphans, Table, TableRole, TimeSystem
from schema.serialise import (
    column_from_json,
    column_to_json,
    database_from_json,
    database_to_json,
    table_from_json,
    table_to_json,
)

NAMES = st.text("abcXYZ_é", min_size=1, max_size=6)
NAME_TUPLES = st.lists(NAMES, max_size=3).map(tuple)
OPTIONAL = st.none() | NAMES
COLUMNS = st.builds(
    Column,
    name=NAMES,
    datatype=st.sampled_from(ColumnType),
    description=NAMES,
    length=st.none() | st.integers(1, 99),
    nullable=st.booleans(),
    unit=OPTIONAL,
    ucd=OPTIONAL,
    utype=OPTIONAL,
    xtype=OPTIONAL,
    principal=st.booleans(),
    std=st.booleans(),
    keep_nan=st.booleans(),
    derived_by=OPTIONAL,
    derived_from=NAME_TUPLES,
)
KEYS = st.builds(
    ForeignKey,
    name=NAMES,
    columns=NAME_TUPLES,
    target_table=NAMES,
    target_columns=NAME_TUPLES,
    description=NAMES,
    max_separation_deg=st.none() | st.floats(0, 1),
)
TABLES = st.builds(
    Table,
    name=NAMES,
    role=st.sampled_from(TableRole),
    columns=st.lists(COLUMNS, max_size=3).map(tuple),
    primary_key=NAME_TUPLES,
    description=NAMES,
    ra=OPTIONAL,
    dec=OPTIONAL,
    director=OPTIONAL,
    director_key=OPTIONAL,
    second_director=OPTIONAL,
    second_director_key=OPTIONAL,
    director_ra=OPTIONAL,
    director_dec=OPTIONAL,
    orphans=st.sampled_from(Orphans),
    overlap=st.booleans(),
    frame=st.none() | st.builds(Frame, NAMES, OPTIONAL, st.none() | st.booleans()),
    time_system=st.none() | st.builds(TimeSystem, NAMES, NAMES, OPTIONAL),
    foreign_keys=st.lists(KEYS, max_size=2).map(tuple),
    indexes=st.lists(NAME_TUPLES, max_size=2).map(tuple),
)
DATABASES = st.builds(
    Database,
    name=NAMES,
    family=NAMES,
    tables=st.lists(TABLES, max_size=2).map(tuple),
    description=NAMES,
    overlap_deg=st.floats(0, 1),
    version=NAMES,
)


@given(DATABASES)
def test_database_comes_back_equal(database):
    written = database_to_json(database)
    assert database_from_json(json.loads(json.dumps(written))) == database
    assert json.loads(json.dumps(written)) == written


@given(TABLES)
def test_table_comes_back_without_its_columns_stored_apart(table):
    columns = [json.loads(json.dumps(column_to_json(column))) for column in table.columns]
    written = table_to_json(table, columns=False)
    assert "columns" not in written
    assert table_from_json(json.loads(json.dumps(written)), map(column_from_json, columns)) == table


def test_defaults_are_left_out():
    assert column_to_json(Column("ra", ColumnType.DOUBLE)) == {"name": "ra", "datatype": "double"}


@pytest.mark.parametrize(
    "declaration",
    [
        {"name": "ra"},
        {"name": "ra", "datatype": "quaternion"},
        {"name": "ra", "datatype": "double", "colour": "red"},
    ],
)
def test_foreign_declarations_are_refused_by_name(declaration):
    with pytest.raises(SchemaError, match="column 'ra' cannot be read"):
        column_from_json(declaration)

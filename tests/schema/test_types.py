"""The type table: what a node stores is what was sent, value by value, for every type of it."""

import math
import re

import adbc_driver_postgresql.dbapi
import psycopg
import pyarrow as pa
import pytest
from pgpq import ArrowToPostgresBinaryEncoder

from qserv.cluster import NODE_DATABASE, Role
from qserv.errors import SchemaError
from schema.ddl import prototype_statements, schema_statement
from schema.model import Column, ColumnType, Table, TableRole
from schema.physical import quote, relation
from schema.types import VOTableType, arrow_schema, arrow_type, postgres_type, votable_type, votable_type_of

DATABASE = "type_round_trip"
TEXTS = ["", " padded ", "a", "Ångström ½ 星 🔭", "it's\t\\N\n", "x" * 12]
US_PER_DAY = 86_400_000_000
DAYS_FROM_4713_BC = 2_440_588
"""From 4713-11-24 BC (Gregorian), PostgreSQL's first day, to 1970-01-01."""

VALUES = {
    ColumnType.BOOLEAN: [True, False],
    ColumnType.SHORT: [-(2**15), -1, 0, 2**15 - 1],
    ColumnType.INT: [-(2**31), -1, 0, 2**31 - 1],
    ColumnType.LONG: [-(2**63), 0, 2**53, 2**53 + 1, 2**63 - 1],
    ColumnType.FLOAT: [math.nan, math.inf, -math.inf, -0.0, 1.401298464324817e-45, 3.4028234663852886e38, 0.10000000149011612],
    ColumnType.DOUBLE: [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 359.99999999999994],
    ColumnType.CHAR: TEXTS,
    ColumnType.STRING: TEXTS,
    ColumnType.UNICODE: TEXTS,
    ColumnType.TEXT: [*TEXTS, "long " * 1000],
    ColumnType.BINARY: [b"", b"\x00", bytes(range(256))],
    # Microseconds since 1970: PostgreSQL's first day, one before and after each of 1970 and 2000, the last of year 9999.
    ColumnType.TIMESTAMP: [
        -DAYS_FROM_4713_BC * US_PER_DAY,
        -1,
        0,
        946_684_799_999_999,
        946_684_800_000_001,
        253_402_300_799_999_999,
    ],
}
BOUNDED = {ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE}


def declared(datatype, length=None):
    return Table("values", TableRole.REPLICATED, (Column("place", ColumnType.INT), Column("value", datatype, length=length)))


@pytest.fixture(scope="module")
def conninfo(postgres_cluster):
    address = postgres_cluster.cluster.nodes[0].postgres
    found = address.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets)
    with psycopg.connect(found, autocommit=True) as connection:
        connection.execute(schema_statement(DATABASE))
        yield found
        connection.execute(f"DROP SCHEMA {quote(DATABASE)} CASCADE")


@pytest.fixture
def connection(conninfo):
    """A connection whose work is taken back."""
    with psycopg.connect(conninfo) as connection:
        yield connection
        connection.rollback()


def write(connection, table, rows):
    """Load rows as ingest does: Arrow to COPY BINARY."""
    connection.execute(prototype_statements(DATABASE, table)[0])
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    columns = ", ".join(rows.column_names)
    with connection.cursor().copy(f"COPY {relation(DATABASE, table.name, None)} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(encoder.write_header())
        for batch in rows.to_batches():
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


@pytest.mark.parametrize("length", [None, 12])
@pytest.mark.parametrize("datatype", ColumnType)
def test_values_come_back_as_they_were_sent(conninfo, datatype, length):
    table = declared(datatype, length)
    fitting = [value for value in VALUES[datatype] if length is None or datatype not in BOUNDED or len(value) <= length]
    values = pa.array([None, *fitting, None], type=storage(datatype)).cast(arrow_type(table.columns[1]))
    rows = pa.table([pa.array(range(len(values)), pa.int32()), values], schema=arrow_schema(table, hidden=()))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        write(connection, table, rows)
        try:
            with adbc_driver_postgresql.dbapi.connect(conninfo) as adbc, adbc.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {relation(DATABASE, table.name, None)} ORDER BY place")  # noqa: S608 (quoted by `relation`)
                found = cursor.fetch_arrow_table()
        finally:
            connection.execute(f"DROP TABLE {relation(DATABASE, table.name, None)}")
    assert found.schema.types[:-1] == arrow_schema(table, hidden=()).types
    assert same(found["value"], rows["value"])


def storage(datatype):
    """Type in which the values above are written."""
    return pa.int64() if datatype is ColumnType.TIMESTAMP else None


def same(one, other):
    """Compare by value: NaN equals NaN, -0.0 differs from 0.0."""
    if pa.types.is_floating(one.type):
        return [repr(value) for value in one.to_pylist()] == [repr(value) for value in other.to_pylist()]
    return one.equals(other)


@pytest.mark.parametrize("datatype", sorted(BOUNDED))
def test_a_text_longer_than_declared_is_refused_by_the_node(connection, datatype):
    table = declared(datatype, 3)
    rows = pa.table([pa.array([1], pa.int32()), pa.array(["four"])], schema=arrow_schema(table, hidden=()))
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        write(connection, table, rows)


def test_declared_type_is_what_postgresql_makes_of_it(connection):
    for datatype in ColumnType:
        column = Column("value", datatype)
        (name,) = connection.execute("SELECT format_type(to_regtype(%s), NULL)", [postgres_type(column)]).fetchone()
        assert name == postgres_type(column)


def test_pixel_is_the_last_column_of_partitioned_tables_only():
    columns = (Column("hip", ColumnType.LONG),)
    assert arrow_schema(Table("t", TableRole.DIRECTOR, columns)).names == [
        *("hip", "_healpix_29", "_contribution", "_friends", "_nearest_deg")
    ]
    assert arrow_schema(Table("t", TableRole.DEPENDENT, columns)).names == ["hip", "_healpix_29", "_contribution"]
    assert arrow_schema(Table("t", TableRole.DIRECTOR, columns), hidden=()).names == ["hip"]
    assert arrow_schema(Table("t", TableRole.REPLICATED, columns)).names == ["hip", "_contribution"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("c", ColumnType.BOOLEAN), VOTableType("boolean")),
        (Column("c", ColumnType.LONG), VOTableType("long")),
        (Column("c", ColumnType.FLOAT, length=3), VOTableType("float")),
        (Column("c", ColumnType.STRING, length=12), VOTableType("char", "12*")),
        (Column("c", ColumnType.CHAR, length=1), VOTableType("char", "1*")),
        (Column("c", ColumnType.UNICODE), VOTableType("unicodeChar", "*")),
        (Column("c", ColumnType.BINARY, length=8), VOTableType("unsignedByte", "8*")),
        (Column("c", ColumnType.TIMESTAMP), VOTableType("char", "*", "timestamp")),
        (Column("c", ColumnType.TEXT, xtype="adql:REGION"), VOTableType("char", "*", "adql:REGION")),
    ],
)
def test_votable_type_of_a_column(column, expected):
    assert votable_type(column) == expected


@pytest.mark.parametrize("datatype", ColumnType)
def test_a_result_has_the_votable_type_of_the_column_it_shows(datatype):
    column = Column("c", datatype)
    expected = VOTableType("char", "*") if datatype is ColumnType.UNICODE else votable_type(column)
    assert votable_type_of(arrow_type(column)) == expected


@pytest.mark.parametrize(
    "arrow", [pa.decimal128(38, 0), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.list_(pa.uint64()), pa.uint64()]
)
def test_what_has_no_votable_form_is_refused(arrow):
    refused = arrow.value_type if pa.types.is_list(arrow) else arrow
    with pytest.raises(SchemaError, match=re.escape(f"Arrow type {refused} cannot be sent as VOTable")):
        votable_type_of(arrow)


def test_arrays_of_numbers_are_arrays_in_votable_and_those_of_texts_one_text():
    assert votable_type_of(pa.list_(pa.int16())) == VOTableType("short", "*")
    assert votable_type_of(pa.list_(pa.string())) == votable_type_of(pa.list_(pa.timestamp("us"))) == VOTableType("char", "*")

"""TAP_SCHEMA: the tables that describe all tables, as a database of replicated tables, and their rows.

Source: TAP 1.1 (IVOA Recommendation 2019-09-27), section 4. Types are VOTable's, names are written as ADQL takes them (`"size"` is
delimited, because SIZE is reserved). ``_healpix_29`` is not listed: ``SELECT *`` leaves it out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from schema.ddl import indexes
from schema.model import Column, ColumnType, Database, ForeignKey, Table, TableRole
from schema.provenance import PROVENANCE
from schema.reserved import adql_name
from schema.types import arrow_schema, votable_type

NAME = "tap_schema"
"""Name of the database; ADQL does not tell it from TAP_SCHEMA."""

_Row = dict[str, Any]
"""A row by its columns' names; ``Any`` because each column has its own type."""


def _text(name: str, description: str, *, required: bool = False) -> Column:
    return Column(name, ColumnType.STRING, description, nullable=not required, principal=True, std=True)


def _number(name: str, description: str, *, required: bool = False) -> Column:
    return Column(name, ColumnType.INT, description, nullable=not required, principal=True, std=True)


def _refers(name: str, column: str, target: str, target_column: str) -> ForeignKey:
    return ForeignKey(name, (column,), target, (target_column,))


_SCHEMAS = Table(
    "schemas",
    TableRole.REPLICATED,
    (
        _text("schema_name", "Name of the schema.", required=True),
        _text("utype", "UType of the schema, if it has one."),
        _text("description", "What the schema holds."),
        _number("schema_index", "Recommended order in lists of schemas."),
    ),
    ("schema_name",),
    "Schemas of this service.",
)

_TABLES = Table(
    "tables",
    TableRole.REPLICATED,
    (
        _text("schema_name", "Name of the schema that the table belongs to.", required=True),
        _text("table_name", "Name of the table with its schema, as queries write it.", required=True),
        _text("table_type", "Either table or view.", required=True),
        _text("utype", "UType of the table, if it has one."),
        _text("description", "What the table holds."),
        _number("table_index", "Recommended order in lists of tables."),
    ),
    ("table_name",),
    "Tables of this service.",
    foreign_keys=(_refers("tables_schema", "schema_name", "schemas", "schema_name"),),
)

_COLUMNS = Table(
    "columns",
    TableRole.REPLICATED,
    (
        _text("table_name", "Name of the table with its schema.", required=True),
        _text("column_name", "Name of the column, as queries write it.", required=True),
        _text("datatype", "VOTable datatype of the column.", required=True),
        _text("arraysize", "VOTable arraysize of the column; NULL for a scalar."),
        _text("xtype", "DALI extended type of the column, if it has one."),
        _number("size", "Greatest length of a text or of bytes; use arraysize instead."),
        _text("description", "What the column holds."),
        _text("utype", "UType of the column, if it has one."),
        _text("unit", "Unit of the column in VOUnit syntax."),
        _text("ucd", "UCD of the column."),
        _number("indexed", "1 if an index begins with the column, else 0.", required=True),
        _number("principal", "1 if the column is among those to show first, else 0.", required=True),
        _number("std", "1 if a standard defines the column, else 0.", required=True),
        _number("column_index", "Recommended order in lists of columns."),
    ),
    ("table_name", "column_name"),
    "Columns of the tables of this service.",
    foreign_keys=(_refers("columns_table", "table_name", "tables", "table_name"),),
)

_KEYS = Table(
    "keys",
    TableRole.REPLICATED,
    (
        _text("key_id", "Identifier of the foreign key.", required=True),
        _text("from_table", "Name of the table that refers.", required=True),
        _text("target_table", "Name of the table that is referred to.", required=True),
        _text("description", "What the foreign key means."),
        _text("utype", "UType of the foreign key, if it has one."),
    ),
    ("key_id",),
    "Foreign keys between the tables of this service: suggested joins.",
    foreign_keys=(
        _refers("keys_from", "from_table", "tables", "table_name"),
        _refers("keys_target", "target_table", "tables", "table_name"),
    ),
)

_KEY_COLUMNS = Table(
    "key_columns",
    TableRole.REPLICATED,
    (
        _text("key_id", "Identifier of the foreign key.", required=True),
        _text("from_column", "Name of a column that refers.", required=True),
        _text("target_column", "Name of the column that it refers to.", required=True),
    ),
    ("key_id", "from_column"),
    "Columns of the foreign keys.",
    foreign_keys=(_refers("key_columns_key", "key_id", "keys", "key_id"),),
)

TAP_SCHEMA = Database(
    name=NAME,
    family=NAME,
    tables=(_SCHEMAS, _TABLES, _COLUMNS, _KEYS, _KEY_COLUMNS),
    description="Schemas, tables, columns and foreign keys of this service (TAP 1.1).",
    version="1.1",
)
"""The database, checked like every other."""


def qualified_name(database: Database, table: str) -> str:
    """Return the name of a table with its schema, as ADQL writes it."""
    return f"{adql_name(database.name)}.{adql_name(table)}"


def indexed_columns(table: Table) -> frozenset[str]:
    """Return the names of the columns that an index begins with."""
    return frozenset(each.columns[0] for each in indexes(table))


def key_id(database: Database, key: ForeignKey) -> str:
    """Return the identifier of a foreign key, unique in the service: Felis keeps names unique in a database."""
    return f"{database.name}.{key.name}"


def tap_schema_rows(databases: Iterable[Database]) -> dict[str, pa.Table]:
    """Return the rows of TAP_SCHEMA that describe databases, with `PROVENANCE` and itself.

    Parameters
    ----------
    databases
        The published databases, in the order in which to list them. What is of the service itself comes after them.

    Returns
    -------
    dict
        Rows by name of the table of `TAP_SCHEMA`, in its Arrow schema.
    """
    listed = [*(database for database in databases if database.name != NAME), PROVENANCE, TAP_SCHEMA]
    tables = [(database, table) for database in listed for table in database.tables]
    keys = [(database, table, key) for database, table in tables for key in table.foreign_keys]
    rows: dict[str, Sequence[_Row]] = {
        "schemas": [
            {"schema_name": adql_name(database.name), "description": database.description or None, "schema_index": place}
            for place, database in enumerate(listed, 1)
        ],
        "tables": [
            {
                "schema_name": adql_name(database.name),
                "table_name": qualified_name(database, table.name),
                "table_type": "table",
                "description": table.description or None,
                "table_index": place,
            }
            for place, (database, table) in enumerate(tables, 1)
        ],
        "columns": [row for database, table in tables for row in _column_rows(database, table)],
        "keys": [
            {
                "key_id": key_id(database, key),
                "from_table": qualified_name(database, table.name),
                "target_table": qualified_name(database, key.target_table),
                "description": key.description or None,
            }
            for database, table, key in keys
        ],
        "key_columns": [
            {"key_id": key_id(database, key), "from_column": adql_name(column), "target_column": adql_name(target)}
            for database, _, key in keys
            for column, target in zip(key.columns, key.target_columns, strict=True)
        ],
    }
    return {name: pa.Table.from_pylist(rows[name], schema=arrow_schema(table)) for name, table in TAP_SCHEMA.by_name.items()}


def _column_rows(database: Database, table: Table) -> list[_Row]:
    indexed = indexed_columns(table)
    rows = []
    for place, column in enumerate(table.columns, 1):
        form = votable_type(column)
        rows.append(
            {
                "table_name": qualified_name(database, table.name),
                "column_name": adql_name(column.name),
                "datatype": form.datatype,
                "arraysize": form.arraysize,
                "xtype": form.xtype,
                "size": column.length if form.arraysize is not None else None,
                "description": column.description or None,
                "utype": column.utype,
                "unit": column.unit,
                "ucd": column.ucd,
                "indexed": int(column.name in indexed),
                "principal": int(column.principal),
                "std": int(column.std),
                "column_index": place,
            },
        )
    return rows

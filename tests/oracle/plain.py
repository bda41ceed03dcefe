"""The oracle: one plain PostgreSQL database with the same rows, unsharded, and nothing of the engine in it."""

import io
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv

from qserv.cluster import Role
from schema.model import ColumnType
from schema.types import postgres_type

DATABASE = "plain"


def stored(table, rows):
    """Return rows as they must be stored: NaN as NULL unless the column keeps it, longitudes in [0, 360)."""
    columns = {}
    for column in table.columns:
        values = tycho_keys(rows) if column.derived_by == "tycho_key" else rows[column.name]
        if pa.types.is_floating(values.type) and not column.keep_nan:
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        if column.name == table.ra:
            reduced = np.mod(values.to_numpy(), 360.0)
            values = pa.array(np.where(reduced >= 360, 0.0, reduced), from_pandas=True)
        if column.datatype in {ColumnType.SHORT, ColumnType.INT, ColumnType.LONG} and pa.types.is_floating(values.type):
            values = values.cast(pa.int64())
        if column.datatype is ColumnType.BINARY:
            # As PostgreSQL reads it from a text.
            values = pa.array([value if value is None else f"\\x{value.hex()}" for value in values.to_pylist()], pa.string())
        columns[column.name] = values
    return pa.table(columns)


def tycho_keys(rows):
    """Return the keys of the larger catalogue, as its column is described."""
    keys = []
    for tycho, component in zip(rows["tyc_id"].to_pylist(), rows["ccdm"].to_pylist(), strict=True):
        first, second, third = map(int, tycho.split("-"))
        code = 0
        for letter in component or "":
            code = code * 27 + ord(letter) - ord("A") + 1
        keys.append(first * 10**11 + second * 10**6 + third * 10**5 + code)
    return pa.chunked_array([keys])


def make_plain(postgres, secrets, databases, rows):
    """Make and fill the database on a server.

    Parameters
    ----------
    databases
        Their declarations.
    rows
        Rows of each table in one block or more, by the names of database and table, as their files hold them.
    """
    create_plain(postgres, secrets, [database.name for database in databases])
    fill_plain(postgres, secrets, databases, rows)


def create_plain(postgres, secrets, names):
    """Make the database without tables; those of databases of these names are found in it without them."""
    with psycopg.connect(postgres.conninfo(Role.ADMIN, "postgres", secrets), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        connection.execute(f"ALTER DATABASE {DATABASE} SET search_path = {', '.join(names)}, plain")
    with psycopg.connect(plain_conninfo(postgres, secrets)) as connection:
        connection.execute((Path(__file__).parent / "plain.sql").read_text())


def fill_plain(postgres, secrets, databases, rows):
    """Make and fill the tables; see `make_plain`."""
    with psycopg.connect(plain_conninfo(postgres, secrets)) as connection:
        for database in databases:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(database.name)))
            for table in database.tables:
                if (database.name, table.name) in rows:
                    fill(connection, database.name, table, rows[database.name, table.name])
    with psycopg.connect(plain_conninfo(postgres, secrets), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def plain_conninfo(postgres, secrets):
    return postgres.conninfo(Role.ADMIN, DATABASE, secrets)


def fill(connection, database, table, blocks):
    """Make a table with the rows of blocks, one of which is in memory at a time."""
    name = sql.Identifier(database, table.name)
    columns = [sql.SQL("{} {}").format(sql.Identifier(each.name), sql.SQL(postgres_type(each))) for each in table.columns]
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns)))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(name)) as copy:
        for rows in blocks:
            text = io.BytesIO()
            csv.write_csv(stored(table, rows), text, csv.WriteOptions(include_header=False))
            copy.write(text.getvalue())
    if table.primary_key:
        keys = sql.SQL(", ").join(map(sql.Identifier, table.primary_key))
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(name, keys))
    if table.dec:
        # For near neighbours: the oracle's text compares latitudes before it measures.
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, sql.Identifier(table.dec)))
    if table.director_key and table.primary_key != (table.director_key,):
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, sql.Identifier(table.director_key)))

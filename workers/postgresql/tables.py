"""Making, moving and dropping the physical tables of a table on PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Final

import psycopg

from qserv.failpoints import durable
from qserv.ids import REPLICATED_CHUNK
from schema.ddl import DROP_BATCH_TABLES, drop_statements, prototype_statements, schema_statement
from schema.model import Table
from schema.physical import Physical, physical_of, quote
from workers.postgresql.statements import run

READER: Final = "qserv_reader"
"""Role that chunk queries run under."""


def prepare(session: psycopg.Connection, database: str, table: Table) -> None:
    """Make the PostgreSQL schema of a database and the prototype of a table, readable by chunk queries."""
    with durable("worker.table.prepare"), session.transaction():
        _make_schema(session, database)
        for statement in prototype_statements(database, table):
            run(session, statement)


def move(session: psycopg.Connection, source: str, database: str, table: str) -> int:
    """Move all physical tables of a table, with their indexes, to another database; return how many there were.

    What the other database has of that name is dropped before. A source that is empty then is dropped as well.
    """
    drop(session, database, table)
    with durable("worker.schema.make"), session.transaction():
        _make_schema(session, database)
    names = physical_tables(session, source, table)
    for start in range(0, len(names), DROP_BATCH_TABLES):
        with durable("worker.tables.move"), session.transaction():
            for name in names[start : start + DROP_BATCH_TABLES]:
                run(session, f"ALTER TABLE {quote(source)}.{quote(name)} SET SCHEMA {quote(database)}")
    _leave(session, source)
    return len(names)


def drop(session: psycopg.Connection, database: str, table: str) -> int:
    """Drop the prototype and all chunk and overlap tables of a table; return how many there were.

    A database that is empty then is dropped as well.
    """
    names = physical_tables(session, database, table)
    _drop(session, database, names)
    _leave(session, database)
    return len(names)


def drop_segment(session: psycopg.Connection, database: str, table: str, segment: int, chunks: Collection[int] | None) -> int:
    """Drop the physical tables of a segment of a table, in some chunks or, with None, wherever; return how many there were."""
    there = ((name, physical_of(table, name)) for name in physical_tables(session, database, table))
    names = [
        name
        for name, found in there
        if found is not None and found.segment == segment and (chunks is None or _number(found) in chunks)
    ]
    _drop(session, database, names)
    return len(names)


def _number(physical: Physical) -> int:
    return REPLICATED_CHUNK if physical.chunk is None else physical.chunk


def _drop(session: psycopg.Connection, database: str, names: Sequence[str]) -> None:
    for start in range(0, len(names), DROP_BATCH_TABLES):
        with durable("worker.tables.drop"):
            for statement in drop_statements(database, list(names[start : start + DROP_BATCH_TABLES])):
                run(session, statement)


def physical_tables(session: psycopg.Connection, database: str, table: str) -> list[str]:
    """Return the unquoted names of the physical tables of a table."""
    found = session.execute(
        'SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s ORDER BY tablename COLLATE "C"', [database]
    ).fetchall()
    return [name for (name,) in found if name == table or physical_of(table, name) is not None]


def _make_schema(session: psycopg.Connection, database: str) -> None:
    """Make the PostgreSQL schema of a database, if it is not there, readable by chunk queries; within a transaction."""
    if not _held(session, database):
        run(session, schema_statement(database))
    run(session, f"GRANT USAGE ON SCHEMA {quote(database)} TO {READER}")
    run(session, f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quote(database)} GRANT SELECT ON TABLES TO {READER}")


def _leave(session: psycopg.Connection, database: str) -> None:
    """Drop the PostgreSQL schema of a database that has no tables any more."""
    with durable("worker.schema.drop"), session.transaction():
        found = _held(session, database)
        left = session.execute("SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s LIMIT 1", [database]).fetchone()
        if found and left is None:
            run(session, f"DROP SCHEMA {quote(database)}")


def _held(session: psycopg.Connection, database: str) -> bool:
    """Let nobody else make or drop the schema of a database in this transaction; return whether it is there.

    Two tables of one new database may be prepared at once, and CREATE SCHEMA IF NOT EXISTS is not safe against itself: behind the
    lock it believes what the session remembers of before. A query reads what is there now.
    """
    session.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [database])
    return session.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", [database]).fetchone() is not None

"""Making, finishing and dropping the physical tables of a table on PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Final

import psycopg

from qserv.ids import ChunkId
from schema.ddl import DROP_BATCH_TABLES, drop_statements, prototype_statements, schema_statement
from schema.model import Table
from schema.physical import chunk_of, quote
from workers.postgresql.indexes import index
from workers.postgresql.statements import run

READER: Final = "qserv_reader"
"""Role that chunk queries run under."""


def prepare(session: psycopg.Connection, database: str, table: Table) -> None:
    """Make the PostgreSQL schema of a database and the prototype of a table, readable by chunk queries."""
    with session.transaction():
        # Two tables of one new database may be prepared at once, and CREATE SCHEMA IF NOT EXISTS is not safe against itself.
        session.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [database])
        run(session, schema_statement(database))
        run(session, f"GRANT USAGE ON SCHEMA {quote(database)} TO {READER}")
        run(session, f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quote(database)} GRANT SELECT ON TABLES TO {READER}")
        for statement in prototype_statements(database, table):
            run(session, statement)


def finish(
    session: psycopg.Connection, database: str, table: Table, chunks: Sequence[int | None], overlap_chunks: Iterable[int]
) -> None:
    """Index and analyse loaded tables; see ``workers.protocol.FinishChunks``."""
    physical = [(None if chunk is None else ChunkId(chunk), False) for chunk in chunks]
    physical += [(ChunkId(chunk), True) for chunk in overlap_chunks]
    for chunk, overlap in physical:
        with session.transaction():
            index(session, database, table, chunk, overlap=overlap)


def drop(session: psycopg.Connection, database: str, table: str) -> int:
    """Drop the prototype and all chunk and overlap tables of a table; return how many there were."""
    found = session.execute(
        'SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s ORDER BY tablename COLLATE "C"', [database]
    ).fetchall()
    names = [name for (name,) in found if name == table or chunk_of(table, name) is not None]
    for start in range(0, len(names), DROP_BATCH_TABLES):
        for statement in drop_statements(database, names[start : start + DROP_BATCH_TABLES]):
            run(session, statement)
    return len(names)

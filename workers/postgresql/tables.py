"""Making, finishing and dropping the physical tables of a table on PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Final

import psycopg

from qserv.ids import ChunkId
from schema.ddl import DROP_BATCH_TABLES, drop_statements, index_statements, prototype_statements, schema_statement
from schema.model import Table
from schema.physical import chunk_of, quote, relation
from workers.postgresql.loads import run

FINISH_BATCH_TABLES: Final = 100
"""Tables indexed in one transaction: few enough for the lock table, enough that commits cost nothing beside the work."""

STATISTICS_TARGET: Final = 20
"""Detail of the planner's statistics of a chunk table, from a sample of 300 times as many rows. PostgreSQL's 100 took 0.27 s for a
chunk of 130,000 stars, longer than any of its indexes; 30 took 0.09 s, 10 took 0.06 s. Which chunks to ask is decided from
statistics of our own."""

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
    for start in range(0, len(physical), FINISH_BATCH_TABLES):
        batch = physical[start : start + FINISH_BATCH_TABLES]
        with session.transaction():
            for chunk, overlap in batch:
                for statement in index_statements(database, table, chunk, overlap=overlap):
                    run(session, statement)
        relations = (relation(database, table.name, chunk, overlap=overlap) for chunk, overlap in batch)
        with session.transaction():
            if table.partitioned:
                run(session, f"SET LOCAL default_statistics_target = {STATISTICS_TARGET}")
            run(session, f"ANALYZE {', '.join(relations)}")


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

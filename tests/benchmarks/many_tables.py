"""What thousands of chunk tables on one node cost (catalogue, memory of a backend, time of statements)."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import psycopg
from measurement import Result, Sample, seconds
from plain import Plain

from qserv.ids import ChunkId
from schema.ddl import (
    DROP_BATCH_TABLES,
    chunk_statements,
    drop_statements,
    index_statements,
    prototype_statements,
    schema_statement,
)
from schema.model import Table
from schema.physical import relation, table_name

DATABASE = "many"


def many_tables(plain: Plain, table: Table, count: int) -> list[Result]:
    """Make empty chunk tables with their indexes, have one backend touch them all, and drop them."""
    chunks = [ChunkId(4 * 4**10 + number) for number in range(count)]
    session = plain.loader
    session.execute(schema_statement(DATABASE))
    for statement in prototype_statements(DATABASE, table):
        session.execute(statement)
    before = _size_bytes(session)
    made = seconds(lambda: _make(session, table, chunks))
    size = _size_bytes(session) - before
    with psycopg.connect(session.info.dsn, password=session.info.password, autocommit=True, prepare_threshold=None) as backend:
        touched = seconds(lambda: _touch(backend, table, chunks))
        (memory,) = backend.execute("SELECT sum(total_bytes) FROM pg_backend_memory_contexts").fetchone() or (0,)
    dropped = seconds(lambda: _drop(session, table, chunks))
    session.execute(f"DROP SCHEMA {DATABASE} CASCADE")
    what = f"{count:,} chunk tables"
    return [
        Result(f"{what}: made, with indexes", "s", Sample((made,)), note=f"{DROP_BATCH_TABLES} a transaction"),
        Result(f"{what}: size while empty", "MB", Sample((size / 1e6,))),
        Result(f"{what}: one backend asks all", "s", Sample((touched,))),
        Result(f"{what}: memory of that backend", "MB", Sample((float(memory) / 1e6,))),
        Result(f"{what}: dropped", "s", Sample((dropped,))),
    ]


def _batches(chunks: list[ChunkId]) -> list[list[ChunkId]]:
    return [chunks[start : start + DROP_BATCH_TABLES] for start in range(0, len(chunks), DROP_BATCH_TABLES)]


def _make(session: psycopg.Connection, table: Table, chunks: list[ChunkId]) -> None:
    for batch in _batches(chunks):
        with session.transaction():
            for chunk in batch:
                name = table_name(table.name, chunk)
                for statement in (*chunk_statements(DATABASE, table, name), *index_statements(DATABASE, table, name).values()):
                    session.execute(statement)


def _touch(session: psycopg.Connection, table: Table, chunks: list[ChunkId]) -> None:
    for chunk in chunks:
        session.execute(f"SELECT * FROM {relation(DATABASE, table.name, chunk)} WHERE _healpix_29 BETWEEN 1 AND 2")


def _drop(session: psycopg.Connection, table: Table, chunks: list[ChunkId]) -> None:
    for batch in _batches(chunks):
        for statement in drop_statements(DATABASE, [table_name(table.name, chunk) for chunk in batch]):
            session.execute(statement)


def _size_bytes(session: psycopg.Connection) -> int:
    (size,) = session.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return int(size)

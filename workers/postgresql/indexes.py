"""Indexes and the planner's statistics of a physical table, made in the transaction that fills it."""

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg

from qserv.errors import IngestError
from qserv.failpoints import durable
from schema.ddl import index_statements
from schema.model import Table
from schema.physical import quote
from workers.postgresql.statements import run
from workers.postgresql.tables import physical_tables
from workers.postgresql.target import Target

STATISTICS_TARGETS: Final = (2, 10)
"""Least and most detail of the planner's statistics of a chunk table, from a sample of 300 times as many rows. PostgreSQL's 100
took 0.23 s for a chunk of 130,000 stars, more than its COPY; 20 took 0.05 s, 10 took 0.03 s. Which chunks to ask is decided from
statistics of our own."""

ROWS_PER_TARGET: Final = 10_000
"""Rows of a table for each unit of detail: a sample of 3 % of them."""


def reindex(session: psycopg.Connection, database: str, table: Table) -> Iterator[tuple[int, int]]:
    """Make the indexes that a table should have and drop the others, on all its physical tables; queries go on meanwhile.

    Yields
    ------
    Number of physical tables that are done, and of all.
    """
    names = [name for name in physical_tables(session, database, table.name) if name != table.name or not table.partitioned]
    sql = "SELECT tablename, indexname FROM pg_catalog.pg_indexes WHERE schemaname = %s"
    found: dict[str, set[str]] = {}
    for physical, index_name in session.execute(sql, [database]).fetchall():
        found.setdefault(physical, set()).add(index_name)
    for done, physical in enumerate(names, 1):
        wanted, there = index_statements(database, table, physical), found.get(physical, set())
        # A segment goes when it was merged with others, which have the indexes.
        with durable("worker.indexing.table"), contextlib.suppress(psycopg.errors.UndefinedTable):
            for index_name in sorted(wanted.keys() - there):
                run(session, wanted[index_name])
            for index_name in sorted(there - wanted.keys()):
                # It waits for the queries that use it, and lets others through.
                run(session, f"DROP INDEX CONCURRENTLY IF EXISTS {quote(database)}.{quote(index_name)}")
        yield done, len(names)


def index(session: psycopg.Connection, target: Target, rows: int) -> None:
    """Index and analyse a physical table that was just filled with so many rows. Indexes that are there stay.

    Raises
    ------
    IngestError
        A key occurs twice.
    """
    try:
        for statement in index_statements(target.database, target.table, target.name).values():
            run(session, statement)
    except psycopg.errors.UniqueViolation as error:
        detail = (error.diag.message_detail or str(error)).rstrip(".")
        msg = (
            f"table {target.database}.{target.table.name}: {detail}; it has one row a key: remove the others from the file, "
            "or declare another key"
        )
        raise IngestError(msg) from error
    if target.table.partitioned:
        least, most = STATISTICS_TARGETS
        run(session, f"SET LOCAL default_statistics_target = {min(max(rows // ROWS_PER_TARGET, least), most)}")
    run(session, f"ANALYZE {target.relation}")

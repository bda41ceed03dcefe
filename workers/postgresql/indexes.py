"""Indexes and the planner's statistics of a physical table, made in the transaction that fills it."""

from typing import Final

import psycopg

from qserv.errors import IngestError
from schema.ddl import index_statements
from workers.postgresql.statements import run
from workers.postgresql.target import Target

STATISTICS_TARGETS: Final = (2, 10)
"""Least and most detail of the planner's statistics of a chunk table, from a sample of 300 times as many rows. PostgreSQL's 100
took 0.23 s for a chunk of 130,000 stars, more than its COPY; 20 took 0.05 s, 10 took 0.03 s. Which chunks to ask is decided from
statistics of our own."""

ROWS_PER_TARGET: Final = 10_000
"""Rows of a table for each unit of detail: a sample of 3 % of them."""


def index(session: psycopg.Connection, target: Target, rows: int) -> None:
    """Index and analyse a physical table that was just filled with so many rows. Indexes that are there stay.

    Raises
    ------
    IngestError
        A key occurs twice.
    """
    try:
        for statement in index_statements(target.database, target.table, target.chunk, overlap=target.overlap):
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

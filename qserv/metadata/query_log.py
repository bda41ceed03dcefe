"""The query log: who asked what, when, and what became of it (LSST DMS-REQ-0345)."""

from uuid import UUID

from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.metadata import tables


async def start_query(connection: AsyncConnection, query_id: UUID, user_name: str, dialect: str, query: str) -> None:
    """Write that a query was submitted; its state is ``executing``."""
    await connection.execute(
        insert(tables.queries).values(query_id=query_id, user_name=user_name, dialect=dialect, text=query, state="executing"),
    )


async def finish_query(  # noqa: PLR0913 (the facts of one row of the log)
    connection: AsyncConnection,
    query_id: UUID,
    state: str,
    *,
    chunk_count: int | None = None,
    row_count: int | None = None,
    byte_count: int | None = None,
    error: str | None = None,
) -> None:
    """Write how a query ended: ``completed``, ``error`` or ``aborted``. A query that ended already is left as it is."""
    await connection.execute(
        update(tables.queries)
        .where(tables.queries.c.query_id == query_id, tables.queries.c.ended.is_(None))
        .values(
            state=state,
            ended=func.now(),
            chunk_count=chunk_count,
            row_count=row_count,
            byte_count=byte_count,
            error=error,
        ),
    )

"""The query log: who asked what, when, and what became of it (LSST DMS-REQ-0345)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.metadata import tables

EXECUTING = "executing"


@dataclass(frozen=True)
class QueryEnd:
    """How a query ended. ``state`` is ``completed``, ``error`` or ``aborted``; ``ended`` has a time zone; ``plan_shape`` is
    None where it was not planned.
    """

    state: str
    ended: datetime
    plan_shape: str | None
    chunk_count: int
    row_count: int
    byte_count: int
    error: str | None
    error_code: str | None = None


@dataclass(frozen=True)
class QueryStart:
    """What was asked. ``submitted`` has a time zone."""

    query_id: UUID
    user_name: str
    dialect: str
    text: str
    submitted: datetime
    czar_id: str | None = None


_NEW = insert(tables.queries).on_conflict_do_nothing()
_END = update(tables.queries).where(tables.queries.c.query_id == bindparam("ended_query"))


async def write_queries(
    connection: AsyncConnection,
    started: Sequence[tuple[QueryStart, QueryEnd | None]],
    ended: Sequence[tuple[UUID, QueryEnd]],
) -> None:
    """Write queries that are new to the log, ended already or not, and the ends of queries that are in it."""
    if started:
        nothing = dict.fromkeys(QueryEnd.__dataclass_fields__) | {"state": EXECUTING}
        await connection.execute(_NEW, [vars(start) | (nothing if end is None else vars(end)) for start, end in started])
    if ended:
        await connection.execute(
            _END,
            # In one order everywhere: two transactions that lock the same rows the other way round would wait for each other.
            [vars(end) | {"ended_query": query_id} for query_id, end in sorted(ended, key=lambda one: one[0])],
        )

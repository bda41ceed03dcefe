"""The czars that run: their signs of life, what becomes of the queries of a dead one, and requests to stop a query."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, Text, and_, bindparam, cast, delete, func, or_, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.metadata.query_log import EXECUTING
from qserv.metadata.tables import catalogue_version, czars, jobs, queries

CZAR_DIED = "the czar that ran the query ended without a word; ask again"
"""What the log says of a query whose czar is dead."""


@dataclass(frozen=True)
class Czar:
    """A process that answers queries. ``czar_id`` is its own in all time."""

    czar_id: str
    host: str
    pid: int


@dataclass(frozen=True)
class Progress:
    """How far a running query is: the chunks of its steps, and the rows of its answer that have come."""

    query_id: UUID
    chunks_done: int
    chunk_count: int
    row_count: int = 0
    byte_count: int = 0


@dataclass(frozen=True)
class LoggedQuery:
    """A query of the log. ``czar`` is where it runs, as ``host:pid``; None if that czar is gone."""

    query_id: UUID
    user_name: str
    dialect: str
    text: str
    state: str
    submitted: datetime
    ended: datetime | None
    plan_shape: str | None
    chunks_done: int | None
    chunk_count: int | None
    row_count: int | None
    byte_count: int | None
    error: str | None
    error_code: str | None
    czar_id: str | None
    czar: str | None
    job_id: UUID | None


async def give_sign_of_life(
    connection: AsyncConnection, czar: Czar, running: Mapping[str, int] | None = None, oldest: int | None = None
) -> None:
    """Tell that a czar lives, and how many queries it runs for each user.

    Parameters
    ----------
    oldest
        Version of the catalogue before which none of its queries was planned; default: that of now, as there is none.
    """
    now = select(catalogue_version.c.version).scalar_subquery()
    told = {"seen": func.now(), "running": dict(running or {}), "oldest": now if oldest is None else oldest}
    values = insert(czars).values(czar_id=czar.czar_id, host=czar.host, pid=czar.pid, **told)
    await connection.execute(values.on_conflict_do_update(index_elements=["czar_id"], set_=told))


async def running_elsewhere(connection: AsyncConnection, czar_id: str) -> Counter[str]:
    """Return how many queries the other czars run for each user."""
    others = select(czars.c.running).where(czars.c.czar_id != czar_id)
    return sum(map(Counter, (await connection.execute(others)).scalars()), Counter[str]())


async def write_progress(connection: AsyncConnection, progress: Sequence[Progress]) -> None:
    """Write how far running queries are."""
    if progress:
        await connection.execute(
            update(queries)
            .where(queries.c.query_id == bindparam("running"), queries.c.state == EXECUTING)
            .values(
                chunks_done=bindparam("done"),
                chunk_count=bindparam("total"),
                row_count=bindparam("rows"),
                byte_count=bindparam("bytes"),
            ),
            # In one order everywhere: two transactions that lock the same rows the other way round would wait for each other.
            [
                {
                    "running": one.query_id,
                    "done": one.chunks_done,
                    "total": one.chunk_count,
                    "rows": one.row_count,
                    "bytes": one.byte_count,
                }
                for one in sorted(progress, key=lambda one: one.query_id)
            ],
        )


async def requested_cancels(connection: AsyncConnection, czar_id: str) -> set[UUID]:
    """Return the queries of a czar that someone wants to be stopped."""
    of_log = select(queries.c.query_id).where(
        queries.c.czar_id == czar_id, queries.c.state == EXECUTING, queries.c.cancel_requested
    )
    # A job may be cancelled before its query is in the log.
    of_jobs = select(jobs.c.query_id).where(jobs.c.czar_id == czar_id, jobs.c.state == "running", jobs.c.cancel_requested)
    return set((await connection.execute(union(of_log, of_jobs))).scalars())


async def request_cancel(connection: AsyncConnection, query_id: UUID) -> bool:
    """Ask the czar that runs a query to stop it; return whether it runs."""
    asked = update(queries).where(queries.c.query_id == query_id, queries.c.state == EXECUTING).values(cancel_requested=True)
    return (await connection.execute(asked)).rowcount > 0


async def remove_czar(connection: AsyncConnection, czar_id: str) -> None:
    """Take a czar that stops out of the list."""
    await connection.execute(delete(czars).where(czars.c.czar_id == czar_id))


async def bury_dead_czars(connection: AsyncConnection, lease_s: float) -> None:
    """Take czars out of the list that gave no sign of life for so long, and end their queries in the log."""
    await connection.execute(delete(czars).where(czars.c.seen < func.now() - timedelta(seconds=lease_s)))
    ended = {"state": "aborted", "ended": func.now(), "error": CZAR_DIED, "error_code": "cluster.czar_lost"}
    dead = or_(queries.c.czar_id.is_(None), queries.c.czar_id.not_in(select(czars.c.czar_id)))
    await connection.execute(update(queries).where(queries.c.state == EXECUTING, dead).values(ended))


async def running_queries(connection: AsyncConnection) -> list[LoggedQuery]:
    """Return the queries that run now on any czar, the oldest first."""
    rows = await connection.execute(_logged().where(queries.c.state == EXECUTING, czars.c.czar_id.is_not(None)))
    return [LoggedQuery(**row._mapping) for row in rows]  # noqa: SLF001 (SQLAlchemy's documented name)


async def logged_query(connection: AsyncConnection, query_id: UUID) -> LoggedQuery | None:
    """Return a query of the log."""
    row = (await connection.execute(_logged().where(queries.c.query_id == query_id))).one_or_none()
    return None if row is None else LoggedQuery(**row._mapping)  # noqa: SLF001


def _logged() -> "Select[*tuple[object, ...]]":
    columns = [queries.c[name] for name in LoggedQuery.__dataclass_fields__ if name not in {"czar", "job_id"}]
    where = czars.c.host + ":" + cast(czars.c.pid, Text)
    return (
        select(*columns, where.label("czar"), jobs.c.job_id)
        .outerjoin(czars, czars.c.czar_id == queries.c.czar_id)
        .outerjoin(jobs, and_(jobs.c.query_id == queries.c.query_id, ~jobs.c.deleted))
        .order_by(queries.c.submitted)
    )

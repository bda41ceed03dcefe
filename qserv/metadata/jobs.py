"""Asynchronous queries: one row a job, each change of state one statement that says from which state it may happen.

``queued -> running -> completed | failed | cancelled``. A job whose czar dies is queued again, `MAX_ATTEMPTS` times. Every attempt
has its number, which guards its end: a czar that was taken for dead and wakes changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import NoSuchJobError
from qserv.metadata.tables import czars, jobs, queries

MAX_ATTEMPTS = 3
"""A query that three czars died of is not given to a fourth one."""

OWNER_LOCKS = 0x6A6F6273
"""First key of the advisory locks on owners (the bytes spell ``jobs``)."""

CZAR_LOST = "cluster.czar_lost"


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True)
class JobError:
    """Why a job failed. ``line`` and ``column`` from 1, where a place in the text can be named."""

    code: str
    message: str
    retryable: bool
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class NewJob:
    """What is to be run. ``max_rows``: rows of the result at the most."""

    job_id: UUID
    owner: str
    dialect: str
    text: str
    max_rows: int


@dataclass(frozen=True)
class JobEnd:
    """How an attempt ended. ``keep_s``: how long job and result are kept from now on."""

    state: JobState
    keep_s: float
    chunk_count: int = 0
    row_count: int = 0
    byte_count: int = 0
    overflow: bool = False
    error: JobError | None = None


@dataclass(frozen=True)
class Job:
    """An asynchronous query. Times have a time zone; ``now`` is when this was read, by the clock of the database."""

    job_id: UUID
    owner: str
    dialect: str
    text: str
    max_rows: int
    state: JobState
    cancel_requested: bool
    attempt: int
    query_id: UUID | None
    submitted: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None
    chunks_done: int | None
    chunk_count: int | None
    row_count: int | None
    byte_count: int | None
    overflow: bool
    error: JobError | None
    now: datetime

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest will take if it goes on as so far; None where nothing can be said."""
        if self.state is not JobState.RUNNING or not self.started or not self.chunks_done or not self.chunk_count:
            return None
        return (self.now - self.started).total_seconds() * (self.chunk_count / self.chunks_done - 1)


async def submit(connection: AsyncConnection, job: NewJob) -> None:
    """Queue a job."""
    await connection.execute(insert(jobs).values(**asdict(job), state=JobState.QUEUED))


async def read_job(connection: AsyncConnection, job_id: UUID) -> Job:
    """Return a job.

    Raises
    ------
    NoSuchJobError
        There is none, or not any more.
    """
    row = (await connection.execute(_selected().where(jobs.c.job_id == job_id))).one_or_none()
    if row is None:
        msg = f"there is no job {job_id}; its result may have expired, or it was deleted"
        raise NoSuchJobError(msg)
    return _job(row._mapping)  # noqa: SLF001 (SQLAlchemy's documented name)


async def list_jobs(connection: AsyncConnection, *, owner: str | None, states: Sequence[JobState], limit: int) -> list[Job]:
    """Return jobs, the newest first: of an owner or of all, in some states or in any."""
    chosen = _selected().order_by(jobs.c.submitted.desc()).limit(limit)
    if owner is not None:
        chosen = chosen.where(jobs.c.owner == owner)
    if states:
        chosen = chosen.where(jobs.c.state.in_(states))
    return [_job(row._mapping) for row in await connection.execute(chosen)]  # noqa: SLF001


async def claim(connection: AsyncConnection, czar_id: str, query_id: UUID, dialects: Sequence[str]) -> Job | None:
    """Give the oldest job that is queued, in one of the dialects, to a czar, to run it under a query id; None if there is none.

    Nor does one get any that was taken for dead, until it has given a sign of life: it would be queued again at once.
    """
    queued = select(jobs.c.job_id).where(jobs.c.state == JobState.QUEUED, jobs.c.dialect.in_(dialects))
    oldest = queued.order_by(jobs.c.submitted).limit(1).with_for_update(skip_locked=True).scalar_subquery()
    values = {"state": JobState.RUNNING, "czar_id": czar_id, "query_id": query_id, "started": func.clock_timestamp()}
    listed = select(czars.c.czar_id).where(czars.c.czar_id == czar_id).exists()
    taken = (
        update(jobs).where(jobs.c.job_id == oldest, listed).values(**values, attempt=jobs.c.attempt + 1).returning(jobs.c.job_id)
    )
    job_id = (await connection.execute(taken)).scalar_one_or_none()
    return None if job_id is None else await read_job(connection, job_id)


async def hold_owner(connection: AsyncConnection, owner: str) -> None:
    """Let no other czar end a job of an owner before this transaction has ended."""
    await connection.execute(select(func.pg_advisory_xact_lock(OWNER_LOCKS, func.hashtext(owner))))


async def finish(connection: AsyncConnection, job_id: UUID, attempt: int, end: JobEnd) -> bool:
    """Write how an attempt ended; return False if the job is not this attempt's any more."""
    values: dict[str, Any] = {name: value for name, value in asdict(end).items() if name != "keep_s"}
    ended = (
        update(jobs)
        .where(jobs.c.job_id == job_id, jobs.c.attempt == attempt, jobs.c.state == JobState.RUNNING)
        .values(**values, ended=func.now(), expires=func.now() + timedelta(seconds=end.keep_s))
    )
    return (await connection.execute(ended)).rowcount > 0


async def hand_back(connection: AsyncConnection, job_id: UUID, attempt: int) -> None:
    """Queue a job again whose czar is told to stop; the attempt does not count."""
    mine = and_(jobs.c.job_id == job_id, jobs.c.attempt == attempt, jobs.c.state == JobState.RUNNING)
    await connection.execute(
        update(jobs).where(mine).values(state=JobState.QUEUED, czar_id=None, query_id=None, attempt=jobs.c.attempt - 1)
    )


async def cancel(connection: AsyncConnection, job_id: UUID, keep_s: float) -> Job:
    """End a queued job, or ask the czar of a running one to stop it; return the job. One that has ended stays as it is.

    Raises
    ------
    NoSuchJobError
        There is none.
    """
    queued = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.QUEUED)
    await connection.execute(
        queued.values(state=JobState.CANCELLED, ended=func.now(), expires=func.now() + timedelta(seconds=keep_s))
    )
    running = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.RUNNING)
    await connection.execute(running.values(cancel_requested=True))
    return await read_job(connection, job_id)


async def remove(connection: AsyncConnection, job_id: UUID) -> None:
    """Delete a job for its owner: it is not seen any more, is stopped if it runs, and its result goes with `take_expired`.

    Raises
    ------
    NoSuchJobError
        There is none.
    """
    job = await cancel(connection, job_id, keep_s=0)
    await connection.execute(update(jobs).where(jobs.c.job_id == job.job_id).values(deleted=True))


async def settle_orphans(connection: AsyncConnection, keep_s: float) -> None:
    """Decide on running jobs whose czar is not in the list any more: run again, or fail after `MAX_ATTEMPTS`."""
    orphaned = and_(
        jobs.c.state == JobState.RUNNING,
        ~select(czars.c.czar_id).where(czars.c.czar_id == jobs.c.czar_id).exists(),
    )
    lost = JobError(CZAR_LOST, f"the czars that ran the query ended without a word, {MAX_ATTEMPTS} times", retryable=True)
    over = or_(jobs.c.cancel_requested, jobs.c.attempt >= MAX_ATTEMPTS)
    await connection.execute(
        update(jobs)
        .where(orphaned)
        .values(
            state=case(
                (jobs.c.cancel_requested, JobState.CANCELLED.value),
                (jobs.c.attempt >= MAX_ATTEMPTS, JobState.FAILED.value),
                else_=JobState.QUEUED.value,
            ),
            error=case((and_(over, ~jobs.c.cancel_requested), literal(asdict(lost), JSONB))),
            ended=case((over, func.now())),
            expires=case((over, func.now() + timedelta(seconds=keep_s))),
        )
    )


async def take_expired(connection: AsyncConnection) -> list[UUID]:
    """Delete the jobs whose time is over, and return them: their results are to be deleted."""
    over = and_(jobs.c.state.not_in((JobState.QUEUED, JobState.RUNNING)), or_(jobs.c.deleted, jobs.c.expires < func.now()))
    return list((await connection.execute(delete(jobs).where(over).returning(jobs.c.job_id))).scalars())


async def kept_bytes(connection: AsyncConnection, owner: str) -> int:
    """Return the bytes of the results that are kept for an owner."""
    kept = and_(jobs.c.owner == owner, jobs.c.state == JobState.COMPLETED, ~jobs.c.deleted, jobs.c.expires >= func.now())
    return int((await connection.execute(select(func.coalesce(func.sum(jobs.c.byte_count), 0)).where(kept))).scalar_one())


async def known_jobs(connection: AsyncConnection, job_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of some jobs that exist."""
    return set((await connection.execute(select(jobs.c.job_id).where(jobs.c.job_id.in_(job_ids)))).scalars())


def _selected() -> Select[tuple[object, ...]]:
    """Return the columns of `Job`; how far it is stands in the query log while it runs."""
    computed = {
        "chunks_done": case((jobs.c.state == JobState.COMPLETED, jobs.c.chunk_count), else_=queries.c.chunks_done),
        **{name: func.coalesce(jobs.c[name], queries.c[name]) for name in ("chunk_count", "row_count", "byte_count")},
        "now": func.clock_timestamp(),
    }
    columns = [computed[name].label(name) if name in computed else jobs.c[name] for name in Job.__dataclass_fields__]
    return select(*columns).outerjoin(queries, queries.c.query_id == jobs.c.query_id).where(~jobs.c.deleted)


def _job(row: Any) -> Job:  # noqa: ANN401 (SQLAlchemy's RowMapping, whose values are of any type)
    error = None if row["error"] is None else JobError(**row["error"])
    return Job(**(dict(row) | {"state": JobState(row["state"]), "error": error}))

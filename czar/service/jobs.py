"""Jobs and the query log in the metadata database, each call in a transaction of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from czar.shown_sql import amount
from qserv.errors import KeptResultsError, NoSuchJobError
from qserv.metadata import czars, jobs
from qserv.metadata.czars import LoggedQuery
from qserv.metadata.engine import connect
from qserv.metadata.jobs import Job, JobEnd, JobState, NewJob


class Jobs:
    """Asynchronous queries of all czars. Every method raises `MetadataError` where the database does not answer.

    Parameters
    ----------
    keep_s
        Seconds for which a job and its result are kept once it has ended.
    max_kept_bytes
        Bytes of the results that are kept for one user, at the most.
    """

    def __init__(self, metadata: AsyncEngine, keep_s: float, max_kept_bytes: int) -> None:
        self._metadata, self.keep_s, self._max_kept_bytes = metadata, keep_s, max_kept_bytes

    async def submit(self, owner: str, dialect: str, text: str, max_rows: int) -> Job:
        """Queue a query; raises `KeptResultsError` for a user who has no room for its result."""
        job_id = uuid4()
        if await self.room_bytes(owner) <= 0:
            raise self.no_room(owner)
        async with self._transaction() as connection:
            await jobs.submit(connection, NewJob(job_id, owner, dialect, text.replace("\0", ""), max_rows))
            return await jobs.read_job(connection, job_id)

    async def room_bytes(self, owner: str) -> int:
        """Return the bytes of results that may yet be kept for a user; below 0 where the limit was lowered."""
        async with self._transaction() as connection:
            return self._max_kept_bytes - await jobs.kept_bytes(connection, owner)

    def no_room(self, owner: str) -> KeptResultsError:
        """Return what to say to a user whose results are too many."""
        msg = f"the results kept for {owner} would be more than {amount(self._max_kept_bytes)}"
        return KeptResultsError(f"{msg}; delete some (`qserv jobs`), or ask for fewer rows or columns")

    async def read(self, job_id: UUID) -> Job:
        """Return a job; raises `NoSuchJobError`."""
        async with self._transaction() as connection:
            return await jobs.read_job(connection, job_id)

    async def list(self, owner: str | None, states: Sequence[JobState], limit: int) -> list[Job]:
        """Return jobs, the newest first."""
        async with self._transaction() as connection:
            return await jobs.list_jobs(connection, owner=owner, states=states, limit=limit)

    async def cancel(self, job_id: UUID) -> Job:
        """Stop a job where it has not ended; raises `NoSuchJobError`."""
        async with self._transaction() as connection:
            return await jobs.cancel(connection, job_id, self.keep_s)

    async def remove(self, job_id: UUID) -> None:
        """Delete a job; raises `NoSuchJobError`."""
        async with self._transaction() as connection:
            await jobs.remove(connection, job_id)

    async def next(self, czar_id: str, dialects: Sequence[str]) -> Job | None:
        """Settle what dead czars left, and return the next job for a czar, which is running from now on."""
        async with self._transaction() as connection:
            await jobs.settle_orphans(connection, self.keep_s)
            return await jobs.claim(connection, czar_id, uuid4(), dialects)

    async def finish(self, job: Job, end: JobEnd) -> bool:
        """Write how an attempt ended; return False if the job is another attempt's now.

        Raises
        ------
        KeptResultsError
            The result has no room any more beside those that other czars wrote meanwhile; nothing is written.
        """
        async with self._transaction() as connection:
            if end.state is JobState.COMPLETED:
                await jobs.hold_owner(connection, job.owner)
                if await jobs.kept_bytes(connection, job.owner) + end.byte_count > self._max_kept_bytes:
                    raise self.no_room(job.owner)
            return await jobs.finish(connection, job.job_id, job.attempt, end)

    async def hand_back(self, job: Job) -> None:
        """Queue a job again."""
        async with self._transaction() as connection:
            await jobs.hand_back(connection, job.job_id, job.attempt)

    async def take_expired(self, with_files: Sequence[UUID]) -> set[UUID]:
        """Delete jobs whose time is over; return the jobs whose files are to be deleted, among them those that are not known."""
        async with self._transaction() as connection:
            expired = await jobs.take_expired(connection)
            return set(with_files) - await jobs.known_jobs(connection, with_files) | set(expired)

    async def running_queries(self) -> Sequence[LoggedQuery]:
        """Return what runs now on all czars."""
        async with self._transaction() as connection:
            return await czars.running_queries(connection)

    async def query(self, query_id: UUID) -> LoggedQuery:
        """Return a query of the log; raises `NoSuchJobError`."""
        async with self._transaction() as connection:
            found = await czars.logged_query(connection, query_id)
        if found is None:
            msg = f"there is no query {query_id} in the query log"
            raise NoSuchJobError(msg)
        return found

    async def cancel_query(self, query_id: UUID) -> None:
        """Ask the czar of a query to stop it."""
        async with self._transaction() as connection:
            await czars.request_cancel(connection, query_id)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with connect(self._metadata) as connection, connection.begin():
            yield connection

"""What is kept of asynchronous queries: for how long, and how much for a user."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from czar.parse import parse
from czar.service.answers import Asking
from czar.service.jobs import Jobs
from czar.service.results import Results
from czar.service.runner import JobRunner
from czar.session import Session
from qserv.cluster import METADATA_DATABASE, Role
from qserv.errors import KeptResultsError, NoSuchJobError
from qserv.metadata import tables
from qserv.metadata.czars import Czar, give_sign_of_life, remove_czar
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.jobs import JobEnd, JobState
from tests.support.waiting import PATIENCE_S

OWN = "its own"
"""A dialect that no other czar of the archive reads, so that none takes these jobs."""

BRIGHT = "SELECT hip FROM stars.hipparcos WHERE magnitude < 3"
BRIGHT_BYTES = 172 * 8


class Keeper:
    """A czar that runs jobs."""

    def __init__(self, metadata, jobs, results, wake):
        self.metadata, self.jobs, self.results, self.wake = metadata, jobs, results, wake

    async def ended(self, owner, text=BRIGHT):
        job = await self.jobs.submit(owner, OWN, text, 1_000_000)
        self.wake()
        return await self.until_ended(job)

    async def until_ended(self, job):
        async with asyncio.timeout(PATIENCE_S):
            while not (job := await self.jobs.read(job.job_id)).state.ended:  # noqa: ASYNC110 (the database sets no event)
                await asyncio.sleep(0.02)
        return job

    async def let_expire(self, job):
        """End the time for which a job is kept."""
        one = tables.jobs.c.job_id == job.job_id
        over = update(tables.jobs).where(one).values(expires=func.now() - timedelta(seconds=1))
        async with connect(self.metadata) as connection, connection.begin():
            await connection.execute(over)


@pytest.fixture
def keeper(archive, tmp_path):
    @contextlib.asynccontextmanager
    async def opened(**limits):
        session = await Session.open(archive.cluster, archive.secrets, archive.settings)
        metadata = make_engine(archive.cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, archive.secrets))
        jobs, results = Jobs(metadata, **limits), Results(tmp_path)
        runner = JobRunner(Asking(session, {OWN: lambda text: parse(text, "native")}), jobs, results)
        runner.start()
        try:
            yield Keeper(metadata, jobs, results, runner.wake)
        finally:
            await runner.close()
            await session.close()
            await metadata.dispose()

    return opened


def test_a_job_whose_time_is_over_goes_with_its_files(keeper, monkeypatch):
    monkeypatch.setattr("czar.service.runner.SWEEP_S", 0.1)  # a minute is longer than a test waits

    async def keep():
        async with keeper(keep_s=3600, max_kept_bytes=10**9) as czar:
            job = await czar.ended("waiting")
            assert (job.state, job.row_count) == (JobState.COMPLETED, 172)
            assert (job.expires - job.ended).total_seconds() == 3600
            path = czar.results.path(job.job_id, job.attempt)
            assert path.exists()
            unknown = czar.results.path(job.query_id, 1)  # of a job that the database does not know any more
            unknown.write_bytes(b"")
            await czar.let_expire(job)
            async with asyncio.timeout(PATIENCE_S):
                while path.exists() or unknown.exists():  # noqa: ASYNC110 (nor do files)
                    await asyncio.sleep(0.05)
            with pytest.raises(NoSuchJobError):
                await czar.jobs.read(job.job_id)

    asyncio.run(keep())


def test_results_of_a_user_are_kept_up_to_a_size(keeper):
    async def keep():
        async with keeper(keep_s=3600, max_kept_bytes=2 * BRIGHT_BYTES) as czar:
            first = await czar.ended("one")
            assert (first.state, first.byte_count) == (JobState.COMPLETED, BRIGHT_BYTES)
            large = await czar.ended("one", BRIGHT.replace("3", "5"))
            assert (large.state, large.error.code) == (JobState.FAILED, "query.limit.user.kept")
            assert czar.results.jobs() == {first.job_id}
            second = await czar.ended("one")
            assert second.state is JobState.COMPLETED
            with pytest.raises(KeptResultsError, match=r"results kept for one would be more than 2\.8 kB; delete some"):
                await czar.jobs.submit("one", OWN, BRIGHT, 10)
            assert (await czar.ended("another")).state is JobState.COMPLETED
            await czar.jobs.remove(first.job_id)
            assert (await czar.ended("one")).state is JobState.COMPLETED

    asyncio.run(keep())


@contextlib.asynccontextmanager
async def another_czar(metadata):
    """A czar that is alive; its name."""
    other = Czar("another czar", "here", 1)
    async with connect(metadata) as connection, connection.begin():
        await give_sign_of_life(connection, other)
    yield other.czar_id
    async with connect(metadata) as connection, connection.begin():
        await remove_czar(connection, other.czar_id)


def test_results_of_a_user_are_kept_up_to_a_size_whichever_czar_writes_them(keeper, monkeypatch):
    async def keep():
        async with keeper(keep_s=3600, max_kept_bytes=BRIGHT_BYTES) as czar:
            room_bytes = czar.jobs.room_bytes

            # Both look how much room there is before either ends: no test could bring two czars to it otherwise.
            async def another_czar_ends_one(owner):
                found = await room_bytes(owner)
                monkeypatch.undo()
                await czar.jobs.submit(owner, "another", BRIGHT, 10)
                # One that gives no sign of life would lose its job to the czar.
                async with another_czar(czar.metadata) as name:
                    job = await czar.jobs.next(name, ["another"])
                    assert await czar.jobs.finish(job, JobEnd(JobState.COMPLETED, 3600, byte_count=1))
                return found

            submitted = await czar.jobs.submit("of two czars", OWN, BRIGHT, 1_000_000)
            monkeypatch.setattr(czar.jobs, "room_bytes", another_czar_ends_one)
            czar.wake()
            job = await czar.until_ended(submitted)
            assert (job.state, job.error.code) == (JobState.FAILED, "query.limit.user.kept")
            assert czar.results.jobs() == set()

    asyncio.run(keep())

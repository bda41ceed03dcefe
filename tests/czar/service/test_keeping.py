"""What is kept of asynchronous queries: for how long, and how much for a user."""

import asyncio
import contextlib
import time

import pytest

from czar.parse import parse
from czar.service.answers import Asking
from czar.service.jobs import Jobs
from czar.service.results import Results
from czar.service.runner import JobRunner
from czar.session import Session
from qserv.cluster import METADATA_DATABASE, Role
from qserv.errors import KeptResultsError, NoSuchJobError
from qserv.metadata.engine import make_engine
from qserv.metadata.jobs import JobEnd, JobState

OWN = "its own"
"""A dialect that no other czar of the archive reads, so that none takes these jobs."""

BRIGHT = "SELECT hip FROM stars.hipparcos WHERE magnitude < 3"
BRIGHT_BYTES = 172 * 8


class Keeper:
    """A czar that runs jobs."""

    def __init__(self, jobs, results, wake):
        self.jobs, self.results, self.wake = jobs, results, wake

    async def ended(self, owner, text=BRIGHT):
        job = await self.jobs.submit(owner, OWN, text, 1_000_000)
        self.wake()
        return await self.until_ended(job)

    async def until_ended(self, job):
        async with asyncio.timeout(60):
            while not (job := await self.jobs.read(job.job_id)).state.ended:  # noqa: ASYNC110 (the database sets no event)
                await asyncio.sleep(0.02)
        return job


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
            yield Keeper(jobs, results, runner.wake)
        finally:
            await runner.close()
            await session.close()
            await metadata.dispose()

    return opened


def test_a_job_whose_time_is_over_goes_with_its_files(keeper):
    async def keep():
        async with keeper(keep_s=1.5, max_kept_bytes=10**9) as czar:
            job = await czar.ended("ann")
            assert (job.state, job.row_count) == (JobState.COMPLETED, 172)
            assert (job.expires - job.ended).total_seconds() == 1.5
            path = czar.results.path(job.job_id, job.attempt)
            assert path.exists()
            unknown = czar.results.path(job.query_id, 1)  # of a job that the database does not know any more
            unknown.write_bytes(b"")
            until_s = time.monotonic() + 30
            while path.exists() or unknown.exists():
                assert time.monotonic() < until_s
                await asyncio.sleep(0.05)
            with pytest.raises(NoSuchJobError):
                await czar.jobs.read(job.job_id)

    asyncio.run(keep())


def test_results_of_a_user_are_kept_up_to_a_size(keeper):
    async def keep():
        async with keeper(keep_s=3600, max_kept_bytes=2 * BRIGHT_BYTES) as czar:
            first = await czar.ended("bob")
            assert (first.state, first.byte_count) == (JobState.COMPLETED, BRIGHT_BYTES)
            large = await czar.ended("bob", BRIGHT.replace("3", "5"))
            assert (large.state, large.error.code) == (JobState.FAILED, "query.limit.user.kept")
            assert czar.results.jobs() == {first.job_id}
            second = await czar.ended("bob")
            assert second.state is JobState.COMPLETED
            with pytest.raises(KeptResultsError, match=r"results kept for bob would be more than 2\.8 kB; delete some"):
                await czar.jobs.submit("bob", OWN, BRIGHT, 10)
            assert (await czar.ended("eve")).state is JobState.COMPLETED
            await czar.jobs.remove(first.job_id)
            assert (await czar.ended("bob")).state is JobState.COMPLETED

    asyncio.run(keep())


def test_results_of_a_user_are_kept_up_to_a_size_whichever_czar_writes_them(keeper, monkeypatch):
    async def keep():
        async with keeper(keep_s=3600, max_kept_bytes=BRIGHT_BYTES) as czar:
            room_bytes = czar.jobs.room_bytes

            async def another_czar_ends_one(owner):
                found = await room_bytes(owner)
                monkeypatch.undo()
                await czar.jobs.submit(owner, "another", BRIGHT, 10)
                job = await czar.jobs.next("another czar", ["another"])
                assert await czar.jobs.finish(job, JobEnd(JobState.COMPLETED, 3600, byte_count=1))
                return found

            submitted = await czar.jobs.submit("joe", OWN, BRIGHT, 1_000_000)
            monkeypatch.setattr(czar.jobs, "room_bytes", another_czar_ends_one)
            czar.wake()
            job = await czar.until_ended(submitted)
            assert (job.state, job.error.code) == (JobState.FAILED, "query.limit.user.kept")
            assert czar.results.jobs() == set()

    asyncio.run(keep())

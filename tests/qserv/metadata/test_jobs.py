import asyncio
import uuid
from datetime import timedelta

import pytest

from qserv.errors import NoSuchJobError
from qserv.metadata import jobs
from qserv.metadata.czars import (
    Czar,
    Progress,
    bury_dead_czars,
    give_sign_of_life,
    logged_query,
    remove_czar,
    request_cancel,
    requested_cancels,
    running_queries,
    write_progress,
)
from qserv.metadata.engine import connect
from qserv.metadata.jobs import JobEnd, JobError, JobState, NewJob
from qserv.metadata.query_log import QueryStart, write_queries

pytestmark = pytest.mark.anyio

A, B = Czar("a", "here", 1), Czar("b", "there", 2)
DAY_S = 86_400.0


@pytest.fixture
async def connection(engine):
    async with connect(engine) as connection, connection.begin():
        await give_sign_of_life(connection, A)
        await give_sign_of_life(connection, B)
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


async def submitted(connection, text="SELECT 1", owner="me", dialect="native"):
    job = NewJob(uuid.uuid4(), owner, dialect, text, 100)
    await jobs.submit(connection, job)
    return job.job_id


async def claimed(connection, czar=A, dialects=("native",)):
    return await jobs.claim(connection, czar.czar_id, uuid.uuid4(), dialects)


async def logged(connection, job, czar=A):
    start = QueryStart(job.query_id, job.owner, job.dialect, job.text, job.now, czar.czar_id)
    await write_queries(connection, [(start, None)], [])


async def test_a_job_goes_its_way(connection):
    job_id = await submitted(connection)
    assert (await jobs.read_job(connection, job_id)).state is JobState.QUEUED
    job = await claimed(connection)
    assert (job.job_id, job.state, job.attempt, job.chunks_done) == (job_id, JobState.RUNNING, 1, None)
    assert await claimed(connection, B) is None
    await logged(connection, job)
    await write_progress(connection, [Progress(job.query_id, 3, 12, row_count=2, byte_count=20)])
    job = await jobs.read_job(connection, job_id)
    assert (job.chunks_done, job.chunk_count, job.row_count, job.byte_count) == (3, 12, 2, 20)
    assert job.eta_s == pytest.approx((job.now - job.started).total_seconds() * 3)
    end = JobEnd(JobState.COMPLETED, DAY_S, chunk_count=12, row_count=7, byte_count=70, overflow=True)
    assert await jobs.finish(connection, job_id, 1, end)
    job = await jobs.read_job(connection, job_id)
    assert (job.state, job.chunks_done, job.overflow, job.eta_s) == (JobState.COMPLETED, 12, True, None)
    assert (job.row_count, job.byte_count) == (7, 70)
    assert job.expires - job.ended == timedelta(days=1)


async def test_a_czar_that_was_taken_for_dead_gets_no_job_before_it_gives_a_sign_of_life(connection):
    await submitted(connection)
    await remove_czar(connection, A.czar_id)
    assert await claimed(connection) is None
    await give_sign_of_life(connection, A)
    assert (await claimed(connection)).attempt == 1


async def test_the_oldest_job_of_a_dialect_is_first(connection):
    await submitted(connection, dialect="adql")
    first, second = await submitted(connection), await submitted(connection)
    assert (await claimed(connection)).job_id == first
    assert (await claimed(connection, B, ("adql", "native"))).dialect == "adql"
    assert (await claimed(connection, B, ("adql", "native"))).job_id == second


async def test_a_job_is_given_to_one_of_many_czars(engine, connection):
    submitted_ids = {await submitted(connection) for _ in range(20)}

    async def take(czar):
        async with connect(engine) as own, own.begin():
            return await claimed(own, czar)

    found = await asyncio.gather(*(take(czar) for czar in (A, B) * 15))
    assert sorted(job.job_id for job in found if job) == sorted(submitted_ids)


async def test_a_dead_czars_job_is_run_again_and_the_dead_one_changes_nothing_any_more(connection):
    job_id = await submitted(connection)
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        await give_sign_of_life(connection, A)
        job = await claimed(connection)
        assert job.attempt == attempt
        await logged(connection, job)
        await jobs.settle_orphans(connection, DAY_S)
        assert (await jobs.read_job(connection, job_id)).state is JobState.RUNNING
        await bury_dead_czars(connection, lease_s=0)
        await jobs.settle_orphans(connection, DAY_S)
        assert (await logged_query(connection, job.query_id)).error_code == "cluster.czar_lost"
        assert not await jobs.finish(connection, job_id, attempt, JobEnd(JobState.COMPLETED, DAY_S))
    job = await jobs.read_job(connection, job_id)
    assert job.state is JobState.FAILED
    assert (job.error.code, job.error.retryable) == ("cluster.czar_lost", True)


async def test_a_czar_that_stops_hands_its_job_back(connection):
    job_id = await submitted(connection)
    for _ in range(jobs.MAX_ATTEMPTS + 2):
        job = await claimed(connection)
        await jobs.hand_back(connection, job_id, job.attempt)
    assert (await jobs.read_job(connection, job_id)).attempt == 0


async def test_cancelling(connection):
    queued, running, ended = [await submitted(connection) for _ in range(3)]
    failed = JobError("query.syntax", "what?", retryable=False, line=1, column=7)
    for wanted in (queued, running, ended):
        job = await claimed(connection)
        assert job.job_id == wanted
        if wanted == queued:
            await jobs.hand_back(connection, queued, job.attempt)
            await jobs.cancel(connection, queued, DAY_S)
        elif wanted == running:
            running_query = job.query_id
    await jobs.finish(connection, ended, 1, JobEnd(JobState.FAILED, DAY_S, error=failed))
    assert (await jobs.read_job(connection, queued)).state is JobState.CANCELLED
    assert (await jobs.cancel(connection, running, DAY_S)).cancel_requested
    assert await requested_cancels(connection, "a") == {running_query}
    assert await requested_cancels(connection, "b") == set()
    assert (await jobs.cancel(connection, ended, DAY_S)).error == failed
    await remove_czar(connection, "a")
    await jobs.settle_orphans(connection, DAY_S)
    assert (await jobs.read_job(connection, running)).state is JobState.CANCELLED


async def test_deleted_and_expired_jobs_go(connection):
    kept, deleted, expired, running = [await submitted(connection) for _ in range(4)]
    for _ in range(4):
        job = await claimed(connection)
        if job.job_id != running:
            keep_s = 0 if job.job_id == expired else DAY_S
            await jobs.finish(connection, job.job_id, 1, JobEnd(JobState.COMPLETED, keep_s))
    await jobs.remove(connection, deleted)
    await jobs.remove(connection, running)
    for gone in (deleted, running, uuid.uuid4()):
        with pytest.raises(NoSuchJobError):
            await jobs.read_job(connection, gone)
    assert set(await jobs.take_expired(connection)) == {deleted, expired}
    await jobs.finish(connection, running, 1, JobEnd(JobState.CANCELLED, DAY_S))
    assert await jobs.take_expired(connection) == [running]
    assert await jobs.known_jobs(connection, [kept, deleted, expired]) == {kept}


async def test_listing(connection):
    mine, theirs = await submitted(connection), await submitted(connection, owner="you")
    await claimed(connection)

    async def listed(owner, *states):
        return [job.job_id for job in await jobs.list_jobs(connection, owner=owner, states=states, limit=10)]

    assert await listed(None) == [theirs, mine]
    assert await listed("you") == [theirs]
    assert await listed("you", JobState.RUNNING) == []
    assert await listed(None, JobState.RUNNING, JobState.FAILED) == [mine]


async def test_running_queries_of_all_czars(connection):
    await submitted(connection)
    of_job = await claimed(connection, B)
    await logged(connection, of_job, B)
    alone = QueryStart(uuid.uuid4(), "me", "adql", "SELECT 2", of_job.now, "a")
    orphan = QueryStart(uuid.uuid4(), "me", "adql", "SELECT 3", of_job.now, "gone")
    await write_queries(connection, [(alone, None), (orphan, None)], [])
    found = {query.query_id: query for query in await running_queries(connection)}
    assert {query_id: (query.czar, query.job_id) for query_id, query in found.items()} == {
        of_job.query_id: ("there:2", of_job.job_id),
        alone.query_id: ("here:1", None),
    }
    assert await request_cancel(connection, alone.query_id)
    assert await requested_cancels(connection, "a") == {alone.query_id}
    assert not await request_cancel(connection, uuid.uuid4())
    assert await logged_query(connection, uuid.uuid4()) is None

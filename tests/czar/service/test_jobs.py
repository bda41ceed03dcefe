import io
import threading
import time

import httpx
import pyarrow.parquet as pq
import pytest

from qserv.errors import NoSuchJobError, QueryCancelledError, QueryEvaluationError, QueryValueError
from qserv.metadata.jobs import JobState
from tests.czar.service.conftest import running
from tests.support.waiting import PATIENCE_S, until

SLOW = """
    SELECT COUNT(*) AS n FROM stars.hipparcos AS h, tap_schema.columns AS a, tap_schema.columns AS b, tap_schema.columns AS c
    WHERE h.magnitude + a.column_index * b.column_index * c.column_index > 1e9
"""


def ended(czar, job):
    return czar.wait(job.job_id)


def test_a_job_runs_on_its_own_and_keeps_its_result(archive, czar):
    job = ended(czar, czar.submit("SELECT hip, ra_degrees FROM stars.hipparcos WHERE magnitude < 3"))
    assert (job.state, job.rows) == (JobState.COMPLETED, 172)
    assert job.chunks_done == job.chunks_total > 10
    assert (job.expires - job.ended).total_seconds() == 7 * 86_400
    with czar.result(job.job_id) as rows:
        assert rows.schema.field("ra_degrees").metadata[b"unit"] == b"deg"
        table = rows.read_all()
    assert table.num_rows == 172
    token = archive.secrets.cluster.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{archive.cluster.czar_url}/jobs/{job.job_id}/result"
    parquet = httpx.get(url, params={"format": "parquet"}, headers=headers, timeout=PATIENCE_S)
    assert pq.read_table(io.BytesIO(parquet.content)).equals(table)
    part = httpx.get(url, headers=headers | {"Range": "bytes=0-99"}, timeout=PATIENCE_S)
    assert (part.status_code, len(part.content)) == (206, 100)
    assert [path.name for path in (archive.home / "results").glob(f"{job.job_id}*")] == [f"{job.job_id}-1.arrow"]
    czar.delete_job(job.job_id)
    assert list((archive.home / "results").glob(f"{job.job_id}*")) == []
    with pytest.raises(NoSuchJobError):
        czar.job(job.job_id)


def test_a_result_is_cut_and_says_so(czar):
    assert ended(czar, czar.submit("SELECT `hip` FROM stars.hipparcos LIMIT 2, 5", dialect="mysql")).rows == 5
    cut = ended(czar, czar.submit("SELECT TOP 20 hip FROM stars.hipparcos", dialect="adql", max_rows=10))
    whole = ended(czar, czar.submit("SELECT TOP 10 hip FROM stars.hipparcos", dialect="adql", max_rows=10))
    assert [(job.rows, job.overflow) for job in (cut, whole)] == [(10, True), (10, False)]


def test_a_job_that_fails_says_why_and_leaves_no_file(archive, czar):
    job = ended(czar, czar.submit("SELECT 1 / (hip - 100000) AS x FROM stars.hipparcos"))
    assert (job.state, job.error.code) == (JobState.FAILED, "query.evaluation")
    with pytest.raises(QueryEvaluationError, match="division by zero"), czar.result(job.job_id):
        pass
    assert list((archive.home / "results").glob(f"{job.job_id}*")) == []


def test_a_job_that_runs_is_stopped(czar, nodes):
    job = czar.submit(SLOW)
    nodes.wait(busy=True)
    with pytest.raises(QueryValueError, match="it is running"), czar.result(job.job_id):
        pass
    assert running(czar, job_id=job.job_id).user == job.owner
    czar.cancel_job(job.job_id)
    nodes.wait(busy=False)
    assert ended(czar, job).state is JobState.CANCELLED
    with pytest.raises(QueryCancelledError), czar.result(job.job_id):
        pass


def test_a_deleted_job_stops(czar, nodes):
    job = czar.submit(SLOW)
    nodes.wait(busy=True)
    czar.delete_job(job.job_id)
    nodes.wait(busy=False)
    assert all(listed.job_id != job.job_id for listed in czar.jobs())


def test_jobs_wait_for_their_turn(czar, nodes):
    first = [czar.submit(SLOW) for _ in range(4)]
    nodes.wait(busy=True)
    waiting = czar.submit("SELECT COUNT(*) FROM stars.hipparcos")
    assert czar.wait(waiting.job_id, 1).state is JobState.QUEUED
    listed = czar.jobs(owner=waiting.owner, states=[JobState.QUEUED, JobState.RUNNING])
    assert [job.job_id for job in listed] == [waiting.job_id, *(job.job_id for job in reversed(first))]
    done = []
    waiter = threading.Thread(target=lambda: done.append(ended(czar, waiting)))
    waiter.start()
    for job in first:
        czar.cancel_job(job.job_id)
    waiter.join(PATIENCE_S)
    assert done[0].state is JobState.COMPLETED
    nodes.wait(busy=False)


def test_how_far_a_job_is(czar):
    job = czar.submit(SLOW.replace(", tap_schema.columns AS c", "").replace("c.column_index", "h.hip"))
    seen = []
    deadline_s = time.monotonic() + 2 * PATIENCE_S
    while len({done for done, _ in seen}) < 2 and time.monotonic() < deadline_s:
        job = czar.wait(job.job_id, 0.2)
        assert not job.state.ended, "it ends before anything is seen of it"
        if job.chunks_done:
            assert job.chunks_done < job.chunks_total
            seen.append((job.chunks_done, job.eta_s))
    czar.cancel_job(job.job_id)
    assert seen == sorted(seen, key=lambda one: one[0])
    assert all(eta_s > 0 for _, eta_s in seen)
    assert len({done for done, _ in seen}) == 2


def test_how_many_rows_of_a_job_have_come(czar, nodes):
    job = czar.submit(
        "SELECT h.hip, a.column_index FROM stars.hipparcos AS h, tap_schema.columns AS a, tap_schema.columns AS b"
        " WHERE MOD(h.hip + a.column_index * b.column_index, 100) = 0"
    )
    first = until(lambda: (found := czar.job(job.job_id)).rows and found)
    later = until(lambda: (found := czar.job(job.job_id)).rows > first.rows and found)
    assert (first.state, later.state) == (JobState.RUNNING, JobState.RUNNING)
    assert later.size_bytes > first.size_bytes >= 8 * first.rows
    assert running(czar, job_id=job.job_id).rows >= later.rows
    czar.cancel_job(job.job_id)
    nodes.wait(busy=False)
    assert ended(czar, job).state is JobState.CANCELLED

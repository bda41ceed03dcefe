"""Czars that die and czars that stop, with another one beside them on the same metadata database."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from czar.service.client import Czar
from qserv.embedded.ports import find_free_port
from qserv.embedded.processes import Process, run_records
from qserv.errors import CzarLostError, QservError
from qserv.metadata.jobs import JobState
from qserv.supervisor.services import GIVES_MEMORY_BACK
from tests.czar.service.conftest import running
from tests.support.freezing import frozen
from tests.support.waiting import PATIENCE_S, until

SLOW = """
    SELECT COUNT(*) AS n FROM stars.hipparcos AS h, tap_schema.columns AS a, tap_schema.columns AS b
    WHERE h.hip % 5 = 0 AND h.magnitude + a.column_index * b.column_index > 1e6
"""
"""Takes some seconds."""

VERY_SLOW = SLOW.replace("FROM", "FROM tap_schema.columns AS c,").replace("b.column_index", "b.column_index * c.column_index")
"""Takes minutes."""

MANY_ROWS = "SELECT a.*, b.* FROM stars.hipparcos AS a, tap_schema.columns AS b, tap_schema.schemas AS c"
"""Takes minutes to send."""

LEASE_S = 5


@pytest.fixture
def second(archive, tmp_path):
    """A second czar of the archive, with a short lease: the process and a client of it."""
    cluster = dataclasses.replace(archive.cluster, home=tmp_path, czar_port=find_free_port(set()))
    cluster.save()
    (tmp_path / "secrets.json").write_bytes((archive.home / "secrets.json").read_bytes())
    (archive.home / "results").mkdir(exist_ok=True)
    (tmp_path / "results").symlink_to(archive.home / "results")
    environment = os.environ | {"QSERV_CZAR_LEASE_S": str(LEASE_S)}
    process = subprocess.Popen([sys.executable, "-m", "czar.service", "--home", str(tmp_path)], env=environment)
    with Czar.of_home(tmp_path) as client:
        wait_for(client)
        yield process, client
    process.kill()
    process.wait()


def wait_for(client):
    """Return once a czar answers."""

    def answers():
        with suppress(QservError):
            return client.tables()

    until(answers)


def ended(client, job):
    """Return a job once it has ended, whoever runs it."""
    until(lambda: client.wait(job.job_id, 5).state.ended, 2 * PATIENCE_S)
    return client.job(job.job_id)


def test_a_job_of_a_killed_czar_is_run_again_by_another(archive, czar, second, nodes):
    process, survivor = second
    done = ended(czar, czar.submit("SELECT hip FROM stars.hipparcos WHERE magnitude < 3"))
    with frozen(Process.of(process.pid)):  # so that it takes the job only when the nodes have been seen to stop
        job = czar.submit(SLOW)
        nodes.wait(busy=True)
        (record,) = [record for record in run_records(archive.home) if record.name == "czar"]
        os.kill(record.process.pid, signal.SIGKILL)
        nodes.wait(busy=False)
    assert survivor.job(job.job_id).state is JobState.RUNNING
    job = ended(survivor, job)
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    assert job.attempt > 1  # 3 where a czar was so slow that it was taken for dead too
    wait_for(czar)
    for client in (survivor, czar):
        for one, rows in ((job, 1), (done, 172)):
            with client.result(one.job_id) as result:
                assert result.read_all().num_rows == rows
    assert [path.name for path in (archive.home / "results").glob(f"{job.job_id}*")] == [f"{job.job_id}-{job.attempt}.arrow"]


@pytest.mark.parametrize("rows_have_come", [False, True])
def test_who_waits_for_an_answer_of_a_killed_czar_is_told(czar, second, nodes, rows_have_come):
    process, client = second
    query_id = uuid.uuid4()

    def read():
        with client.answer(MANY_ROWS if rows_have_come else VERY_SLOW, query_id=query_id) as rows:
            next(rows)
            come.set()
            process.kill()
            process.wait()
            rows.read_all()

    come = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(read)
        if not rows_have_come:
            nodes.wait(busy=True)
            until(lambda: query_id in {one.query_id for one in czar.queries()})
            process.kill()
        error = answer.exception(PATIENCE_S)
    assert come.is_set() is rows_have_come
    assert (type(error), error.retryable) == (CzarLostError, True)
    nodes.wait(busy=False)
    until(lambda: czar.query_info(query_id).ended)
    found = czar.query_info(query_id)
    assert (found.state, found.error.code, found.error.retryable) == ("aborted", "cluster.czar_lost", True)


def test_a_czar_keeps_no_memory_that_it_has_freed(archive):
    (record,) = [record for record in run_records(archive.home) if record.name == "czar"]
    environment = Path(f"/proc/{record.process.pid}/environ").read_bytes().split(b"\0")
    assert {f"{name}={value}".encode() for name, value in GIVES_MEMORY_BACK.items()} <= set(environment)


def test_a_czar_that_stops_hands_its_jobs_to_another(archive, czar, second, nodes):
    process, stopping = second
    job = stopping.submit(SLOW)
    nodes.wait(busy=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    job = ended(czar, job)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    assert list((archive.home / "results").glob(f"{job.job_id}*.part")) == []


def test_a_query_that_one_czar_answers_is_seen_and_stopped_by_another(czar, second, nodes):
    _, other = second
    job = czar.submit(VERY_SLOW)
    nodes.wait(busy=True)
    other.cancel_query(running(other, job_id=job.job_id).query_id)
    nodes.wait(busy=False)
    assert ended(other, job).state is JobState.CANCELLED

"""What users of the czar's API see, and what stays out of logs."""

import os
import signal

import pytest

from czar.service.client import Czar
from qserv.cluster import Role
from qserv.errors import NodeUnavailableError, QueryEvaluationError
from qserv.metadata.jobs import JobState
from tests.czar.failures.stages import held_chunks
from tests.czar.failures.survey import ONCE, SCAN, STEPS, is_right
from tests.support.waiting import PATIENCE_S, until

NODE = "node-2"

WRITTEN = "zq81xj"
"""Stands in queries of users, and nowhere else."""


@pytest.fixture
def czar(battered):
    with Czar.of_home(battered.cluster.home, user="tester") as client:
        yield client


def test_a_download_and_a_job_end_with_the_reason_and_no_file_is_left(battered, czar):
    def read():
        with czar.answer(SCAN.format(database=ONCE)) as rows:
            next(rows)
            wait()
            battered.wait_calls(NODE, 2)  # the job is there, too: one query may have all the turns that wait for locks
            battered.kill(f"{NODE}-worker")
            rows.read_all()

    with held_chunks(battered, ONCE, NODE, 1) as wait:
        job = czar.submit(SCAN.format(database=ONCE))
        with pytest.raises(NodeUnavailableError, match="no node could answer for chunk"):
            read()
        job = czar.wait(job.job_id)
    assert (job.state, job.error.code, job.error.retryable) == (JobState.FAILED, NodeUnavailableError.code, True)
    assert list((battered.cluster.home / "results").glob(f"*{job.job_id}*")) == []
    battered.wait_up()
    assert is_right(SCAN, czar.query(SCAN.format(database=ONCE)))


@pytest.mark.parametrize("query", [SCAN, STEPS])
def test_a_job_that_is_cancelled_leaves_nothing(battered, czar, query):
    with held_chunks(battered, ONCE, NODE, 0) as wait:
        job = czar.submit(query.format(database=ONCE))
        wait()
        czar.cancel_job(job.job_id)
        assert czar.wait(job.job_id).state is JobState.CANCELLED
        assert list((battered.cluster.home / "results").glob(f"*{job.job_id}*")) == []
        battered.leftovers.wait_none()


def test_queries_that_wait_for_a_frozen_worker_end(battered):
    with held_chunks(battered, ONCE, NODE, 0) as wait:
        answers = [battered.begin(SCAN.format(database=ONCE)) for _ in range(12)]
        wait()
        # Some compute, the others wait for their turn.
        until(lambda: sum(execution.progress.chunk_count > 0 for execution in battered.session.running.values()) == len(answers))
        with battered.frozen(f"{NODE}-worker"):
            errors = [answer.exception(PATIENCE_S) for answer in answers]
    assert [type(error) for error in errors] == [NodeUnavailableError] * len(answers)


def logs(battered):
    return "".join(path.read_text(errors="replace") for path in (battered.cluster.home / "logs").glob("*postgres.log"))


def test_postgresql_logs_nothing_of_what_users_write(battered):
    failing = f"SELECT p.point_id AS {WRITTEN}, CAST('{WRITTEN}' || p.kind AS INTEGER) AS n FROM {ONCE}.points AS p"  # noqa: S608 (a test's own text)
    over_groups = f"SELECT CAST('{WRITTEN}' || COUNT(*) AS INTEGER) AS n FROM {ONCE}.points AS p GROUP BY p.kind"  # noqa: S608 (as above)
    for query in (failing, over_groups):
        with pytest.raises(QueryEvaluationError, match=WRITTEN):
            battered.ask(query)
    # A process of PostgreSQL that crashes in the middle of a user's statement.
    with held_chunks(battered, ONCE, NODE, 0) as wait, battered.admin(NODE) as admin:
        answer = battered.begin(f"SELECT p.point_id FROM {ONCE}.points AS p WHERE p.kind::text <> '{WRITTEN}'")  # noqa: S608 (as above)
        wait()
        (pid,) = admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s AND state = 'active'", [Role.READER]).fetchone()
        os.kill(pid, signal.SIGSEGV)
        assert isinstance(answer.exception(PATIENCE_S), NodeUnavailableError)
    battered.wait_up()
    assert "terminated by signal 11" in logs(battered)
    assert WRITTEN not in logs(battered)

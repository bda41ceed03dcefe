"""A metadata server that is frozen: nobody waits for it without end, and all goes on when it is back."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from czar.service.client import Czar
from qserv.cluster import METADATA_DATABASE
from qserv.errors import MetadataError
from qserv.metadata.jobs import JobState
from tests.czar.failures.conftest import METADATA_SILENCE_S
from tests.czar.failures.stages import in_the_scratch_database
from tests.czar.failures.survey import ONCE, SCAN, is_right
from tests.support.waiting import PATIENCE_S, until

BOUND_S = 3 * METADATA_SILENCE_S + 30.0
"""What the setting promises, and something for a busy machine."""

PROVENANCE = "SELECT COUNT(*) FROM provenance.contributions"

KEY = f"SELECT kind FROM {ONCE}.points WHERE point_id = 7"  # noqa: S608 (a test's own text)


def failure_of(ask):
    """Return what a call raises, and after how many seconds."""
    begun_s = time.monotonic()
    try:
        ask()
    except MetadataError as error:
        return error, time.monotonic() - begun_s
    return None, time.monotonic() - begun_s


def test_whoever_waits_for_a_frozen_metadata_server_is_told(battered):
    with Czar.of_home(battered.cluster.home, user="tester") as czar, ThreadPoolExecutor(8) as threads:
        job = czar.submit(SCAN.format(database=ONCE))
        with contextlib.ExitStack() as hold:
            _, computed = in_the_scratch_database(hold, battered, ONCE, None)
            wait = hold.enter_context(battered.locked("contributions", database=METADATA_DATABASE))
            told = battered.begin(PROVENANCE)
            wait(2)
            with battered.frozen("metadata-postgres"):
                asked = {
                    "a query over rows of steps": lambda: computed.result(PATIENCE_S),
                    "a query of provenance": lambda: told.result(PATIENCE_S),
                    "a query by key": lambda: battered.ask(KEY),
                    "a query over the API": lambda: czar.query(KEY),
                    "jobs": czar.jobs,
                    "a new job": lambda: czar.submit(KEY),
                    "what runs": czar.queries,
                }
                waiting = {what: threads.submit(failure_of, ask) for what, ask in asked.items()}
                found = {what: future.result(PATIENCE_S) for what, future in waiting.items()}
            hold.close()
        assert {what: type(error) for what, (error, _) in found.items()} == dict.fromkeys(asked, MetadataError)
        assert all(error.retryable for error, _ in found.values())
        assert {what: seconds for what, (_, seconds) in found.items() if seconds > BOUND_S} == {}
        battered.wait_up()
        # What was submitted before ends, with what there was of it.
        until(lambda: czar.job(job.job_id).state is JobState.COMPLETED)
        with czar.result(job.job_id) as rows:
            assert is_right(SCAN, rows.read_all())


def test_who_goes_away_does_not_hold_up_others_while_the_server_is_frozen(battered):
    with contextlib.ExitStack() as hold:
        _, computed = in_the_scratch_database(hold, battered, ONCE, None)
        with battered.frozen("metadata-postgres"):
            begun_s = time.monotonic()
            battered.execution().cancel()
            assert time.monotonic() - begun_s < METADATA_SILENCE_S
        hold.close()
    assert computed.exception(PATIENCE_S) is not None

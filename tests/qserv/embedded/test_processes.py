import os
import signal
import subprocess
from dataclasses import replace

import pytest

from qserv.embedded.orphans import end_orphans
from qserv.embedded.processes import Process, RunRecord, run_records
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def sleeper():
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        yield child
        child.kill()


def test_a_process_is_known_by_its_start_not_by_its_pid_alone(sleeper):
    process = Process.of(sleeper.pid)
    assert process.alive
    assert not replace(process, start_ticks=process.start_ticks - 1).alive
    assert not replace(process, boot_id="another boot").alive


def test_a_process_that_ended_but_was_not_collected_is_dead(sleeper):
    process = Process.of(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive
    assert Process.of(sleeper.pid) is None


def test_orphan_is_ended_and_forgotten(sleeper, tmp_path):
    record = RunRecord("node-1-worker", "worker", Process.of(sleeper.pid), 15000, 0.0)
    record.write(tmp_path)
    assert end_orphans(tmp_path) == (record,)
    assert sleeper.wait(PATIENCE_S) == -signal.SIGTERM
    assert run_records(tmp_path) == ()


def test_another_program_that_got_the_pid_is_left_alone(sleeper, tmp_path):
    process = Process.of(sleeper.pid)
    RunRecord("node-1-worker", "worker", replace(process, start_ticks=1), 15000, 0.0).write(tmp_path)
    assert end_orphans(tmp_path) == ()
    assert process.alive
    assert run_records(tmp_path) == ()


def test_a_record_cut_off_by_a_crash_is_no_obstacle(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tap.json").write_text('{"name": "tap", "ki')
    assert end_orphans(tmp_path) == ()

"""`qserv demo`, which `make demo` runs, by someone who has nothing yet."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from qserv.settings import Settings
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.timeout(900)  # a whole life of a cluster each; about 10 s on a quiet machine

DEMO = [sys.executable, "-m", "qserv.cli", "demo"]
STAYS_UP = "Ctrl-C stops it.\n"


@pytest.fixture(scope="module")
def new_home(cluster_home):
    """The home directory of a user who has never run anything."""
    home = cluster_home / "newcomer"
    home.mkdir()
    return home


@pytest.fixture
def environment(new_home):
    without = {name: value for name, value in os.environ.items() if not name.startswith(("QSERV_", "XDG_"))}
    return without | {"HOME": str(new_home), "QSERV_MEMORY_SHARE": "0.1"}


def running_in(home):
    """Command lines of programs that work below a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            found += [command] if str(home) in command else []
    return found


@pytest.fixture
def usual_port():
    """The port that a TAP service has unless told otherwise, not to be had."""
    address = (Settings.model_fields["tap_host"].default, Settings.model_fields["tap_port"].default)
    with contextlib.suppress(OSError), socket.create_server(address):
        yield address[1]
        return
    yield address[1]


def test_it_loads_asks_stays_up_and_stops(environment, new_home, usual_port):
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            printed = list(itertools.takewhile(lambda line: line != STAYS_UP, demo.stdout))
            (url,) = (line.split()[-1] for line in printed if "TOPCAT" in line)
            assert f":{usual_port}/" not in url
            assert "<available>true</available>" in httpx.get(f"{url}/availability", timeout=PATIENCE_S).text
            assert f'TAPService("{url}")' in httpx.get(url.removesuffix("tap"), timeout=PATIENCE_S).text
        finally:
            demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_S) == 0
    shown = "".join(printed)
    assert "118,218 rows published" in shown
    assert [line.split()[0] for line in printed if line.endswith(" ms\n")] == ["7", "5", "18"]
    assert running_in(new_home) == []


def test_once_it_finds_what_is_loaded_and_leaves_nothing_running(environment, new_home):
    done = subprocess.run([*DEMO, "--once"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "table stars.hipparcos is there from an earlier run" in done.stdout
    assert "rows published" not in done.stdout
    assert "17702 56.87110065 24.10524193      2.85" in done.stdout
    assert running_in(new_home) == []
    assert [path.name for path in new_home.iterdir()] == [".local"]


def test_a_big_catalogue_that_is_not_there_is_told_before_anything_starts(environment, new_home):
    done = subprocess.run([*DEMO, "--big", "gone.parquet"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "qserv: --big gone.parquet: there is no such file\n"
    assert running_in(new_home) == []

"""Commands side by side, as `python tests` and `make nightly` run them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.side_by_side import SideBySide

# Who sleeps here gives another one the time to come between, or to be ended at once; where none takes it, the tests pass as well.
TALKS = "import time; print('first', flush=True); time.sleep(0.3); print('last')"
FAILS = "import sys; sys.exit('no')"
CLEANS_UP = """
import pathlib, sys, time
try:
    pathlib.Path({name!r}).touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.3)
    sys.exit("cleaned up")
"""
DEAF_TO_CTRL_C = """
import signal, sys
from tests.support.side_by_side import SideBySide
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what runs in the background
sys.exit(SideBySide({commands!r}, 2).run())
"""


def python(text):
    return [sys.executable, "-c", text]


def test_output_is_whole_and_minutes_are_told(capsys):
    assert SideBySide({"one": python(TALKS), "two": python(TALKS)}, 2).run() == 0
    shown = capsys.readouterr().out
    assert shown.count("first\nlast\n") == 2
    minutes = [line.split(maxsplit=1)[1] for line in shown.partition(" minutes ")[2].splitlines()[1:]]
    assert minutes[2:] == ["all, 2 at a time"]
    assert sorted(minutes[:2]) == ["one", "two"]


@pytest.mark.parametrize("at_once", [1, 2])
def test_all_run_and_one_that_fails_fails_the_run(at_once, capsys):
    assert SideBySide({"bad": python(FAILS), "good": python(TALKS)}, at_once).run() == 1
    shown = capsys.readouterr().out
    assert "first\nlast\n" in shown
    assert "bad: failed, exit code 1\n" in shown


def test_ctrl_c_ends_each_in_its_own_way_and_begins_no_more(tmp_path):
    commands = {name: python(CLEANS_UP.format(name=str(tmp_path / name))) for name in ("one", "two", "three")}
    begun = python(DEAF_TO_CTRL_C.format(commands=commands))
    with subprocess.Popen(begun, stdout=subprocess.PIPE, text=True, process_group=0) as run:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        # As a terminal sends it.
        os.killpg(run.pid, signal.SIGINT)
        shown = run.stdout.read()
    assert run.returncode == 128 + signal.SIGINT
    assert shown.count("cleaned up") == 2
    assert "three" not in shown

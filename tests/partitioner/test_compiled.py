"""Functions are compiled once, whoever calls them, and wherever files can be written."""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numba
import numpy as np
import pytest

LOOP = """
import numpy as np
from partitioner.compiled import compiled

@compiled
def total(values):
    found = 0.0
    for value in values:
        found += 1 / value
    return found
"""

CALLED = """
print(total(np.array([1.0, 4.0])), sum(total.stats.cache_misses.values()))
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return where a module may be written; files beside it are the only ones of compiled code."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "no_directory").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no_directory"))
    return tmp_path / "loop.py"


def imported(path):
    path.write_text(LOOP)
    spec = importlib.util.spec_from_file_location("loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.total


def misses(function):
    return sum(function.stats.cache_misses.values())


def test_threads_that_call_at_once_compile_once(path):
    total = imported(path)
    together = Barrier(4)

    def call(value):
        together.wait()
        return total(np.full(10, value))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(call, [1.0, 2.0, 4.0, 8.0])) == [10, 5, 2.5, 1.25]
    assert misses(total) == 1
    assert list(path.parent.glob("__pycache__/*.nbc"))


def test_code_is_kept_in_a_file(path):
    imported(path)(np.ones(3))
    again = imported(path)
    assert again(np.ones(3)) == 3
    assert misses(again) == 0


def test_processes_that_compile_at_once_leave_a_file_that_others_read(path):
    path.write_text(LOOP + CALLED)

    def start():
        return subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True)

    together = [start() for _ in range(3)]
    for process in together:
        assert process.communicate()[0].split()[0] == "1.25"
    assert start().communicate()[0].split() == ["1.25", "0"]


def test_without_a_directory_to_write_functions_are_compiled_anew(path):
    (path.parent / "__pycache__").touch()
    for _ in range(2):
        total = imported(path)
        assert total(np.ones(3)) == 3
        assert misses(total) == 1


def test_a_division_by_zero_is_no_error(path):
    assert imported(path)(np.zeros(1)) == np.inf

"""Pytest sessions side by side are accounted for together."""

from tests.support.sessions import run_sessions

PASSES = """
from hypothesis import given, strategies

def test_counts(record_testsuite_property):
    record_testsuite_property("examples", {count})

@given(strategies.integers())
def test_is_drawn(number):
    assert number == number
"""
FAILS = "def test_fails(): assert 'a' == 'b'"
INTERRUPTED = "def test_interrupted(): raise KeyboardInterrupt"


def folder(path, **tests):
    path.mkdir()
    (path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    for name, text in tests.items():
        (path / f"test_{name}.py").write_text(text)
    return [f"--rootdir={path}", "-c", str(path / "pytest.ini"), str(path)]


def test_what_tests_counted_is_added_up_and_a_failure_is_shown(tmp_path, capsys):
    one = folder(tmp_path / "one", few=PASSES.format(count=2), many=PASSES.format(count=300))
    two = folder(tmp_path / "two", some=PASSES.format(count=40), bad=FAILS)
    assert run_sessions({"one": one, "two": two}) == 1
    shown = capsys.readouterr().out
    assert shown.endswith("examples: 342\n")
    assert "AssertionError: assert 'a' == 'b'" in shown
    assert "two: failed, exit code 1" in shown


def test_an_interrupted_session_is_accounted_for(tmp_path, capsys):
    assert run_sessions({"one": folder(tmp_path / "one", some=PASSES.format(count=2), stops=INTERRUPTED)}) == 1
    assert capsys.readouterr().out.endswith("examples: 2\n")

"""Points do what the variable says, once; and each durable step of ingest and workers has them."""

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qserv import failpoints
from qserv.errors import InternalError, SettingsError
from qserv.failpoints import VARIABLE, armed, durable, reached
from tests.support.steps import PACKAGES, ROOT, durable_steps
from tests.support.waiting import PATIENCE_S, until

CHANGES = {"connection.begin", ".transaction", ".rename", ".rmtree", "registration.publish", "unpublish", "_sync", "run"}
"""Names of what makes a lasting change where it is called, or with the end of its block."""

WITHIN = {"run": {"load", "_make", "_replace", "index", "_make_schema"}}
"""Functions that call such a name within what another one does: its transaction, or a step that has points itself."""


@pytest.fixture
def arm(monkeypatch):
    def run(text):
        monkeypatch.setattr(failpoints, "_armed", armed(text))

    return run


def test_an_action_is_taken_once_by_who_finds_its_file(arm, tmp_path):
    token = tmp_path / "token"
    arm(f"a.b.before=fail:{token};a.b.after=fail:{token}")
    reached("a.b.before")
    token.touch()
    reached("another.before")
    with pytest.raises(InternalError, match=r"a\.b\.before"), durable("a.b"):
        pass
    with durable("a.b"):
        pass
    with pytest.raises(InternalError, match=r"a\.b\.after"), durable("a.b"):
        token.touch()


def test_a_step_that_fails_does_not_reach_its_end(arm, tmp_path):
    token = tmp_path / "token"
    arm(f"a.b.after=fail:{token}")
    token.touch()
    with pytest.raises(KeyError), durable("a.b"):
        raise KeyError
    assert token.exists()


def test_who_waits_goes_on_when_another_file_is_there(arm, tmp_path):
    token = tmp_path / "token"
    arm(f"a.before=wait:{token}")
    token.touch()
    waiting = threading.Thread(target=reached, args=("a.before",))
    waiting.start()
    until(lambda: not token.exists())
    assert waiting.is_alive()
    (tmp_path / "token.go").touch()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()


def test_the_variable_kills(tmp_path):
    token = tmp_path / "token"
    code = "from qserv.failpoints import durable\nwith durable('a'): print('begun', flush=True)\nprint('over')"
    environment = os.environ | {VARIABLE: f"a.after=kill:{token}"}
    told = []
    for _ in range(2):
        token.touch() if not told else None
        told.append(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False))
    assert [each.returncode for each in told] == [-signal.SIGKILL, 0]
    assert [each.stdout for each in told] == ["begun\n", "begun\nover\n"]


@pytest.mark.parametrize("text", ["a", "a=kill", "a=kill:", "=kill:/x", "a=explode:/x", "a:kill=/x"])
def test_what_is_no_point_is_named(text):
    with pytest.raises(SettingsError, match=VARIABLE):
        armed(text)


def test_each_durable_step_has_points():
    """Whoever writes a new one without `durable` around it is told here."""
    bare = [found for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) for found in _bare(path)]
    assert bare == []


def test_no_two_steps_have_one_name():
    names = [name for name, _ in durable_steps()]
    assert len(names) == len(set(names)) > 20
    assert {name.partition(".")[0] for name in names} == {"ingest", "service", "worker"}


def test_a_step_without_points_is_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "def a(session):\n    with session.transaction():\n        pass\n"
        "def b(path):\n    with durable('b'):\n        path.rename('c')\n"
        "def c(session):\n    with durable('c'), session.transaction():\n        pass\n"
        "def d(session):\n    run(session, 'DROP TABLE x')\n"
    )
    assert [found.partition(": ")[2] for found in _bare(path)] == [".transaction in line 2", "run in line 11"]


def _bare(path: Path) -> list[str]:
    """Return the calls of a module that make a lasting change outside of `durable`."""
    found: list[str] = []
    _look(ast.parse(path.read_text()), "", found)
    return [f"{path}: {each}" for each in found]


def _look(node: ast.AST, function: str, found: list[str]) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    covering = node.items if isinstance(node, ast.With | ast.AsyncWith) else []
    if any(_called(item.context_expr) in {"durable", "changing"} for item in covering):
        return
    name = _called(node)
    if name in CHANGES and function not in WITHIN.get(name, set()):
        found.append(f"{name} in line {node.lineno}")
    for child in ast.iter_child_nodes(node):
        _look(child, function, found)


def _called(node: ast.AST) -> str:
    """Return the name of what is called, if anything is: of a method a dot and its name, unless both words are known."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        both = f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
        return both if both in CHANGES else f".{node.func.attr}"
    return getattr(node.func, "id", "")

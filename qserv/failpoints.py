"""Named points at which a test lets a process die, fail or wait: one before and one behind each durable step.

``QSERV_FAILPOINTS`` names points, actions and files: ``worker.run.write.before=kill:/tmp/token;...``. An action is taken by who
finds the file and deletes it, so once, whoever is started again; to wait is to wait for another file, of that name with ``.go``
behind it. Without the variable a point costs a look into an empty dictionary.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from qserv.errors import InternalError, SettingsError

VARIABLE: Final = "QSERV_FAILPOINTS"

LOOK_S: Final = 0.02
"""How often who waits looks for the file."""

Action = Callable[[str], None]


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail(name: str) -> None:
    msg = f"failpoint {name}: this error was asked for by {VARIABLE}"
    raise InternalError(msg)


def _wait(_name: str, token: Path) -> None:
    while not token.with_name(f"{token.name}.go").exists():
        time.sleep(LOOK_S)


def armed(text: str) -> dict[str, Action]:
    """Read points, as the variable names them.

    Raises
    ------
    SettingsError
        The text is not of the form ``point=action:file;...``.
    """
    points: dict[str, Action] = {}
    for word in filter(None, text.split(";")):
        name, equals, rest = word.partition("=")
        kind, colon, path = rest.partition(":")
        token = Path(path)
        actions: dict[str, Action] = {"kill": _kill, "fail": _fail, "wait": partial(_wait, token=token)}
        if not (name and equals and colon and path and kind in actions):
            msg = f"{VARIABLE}: {word!r} is not of the form POINT=ACTION:FILE with one of the actions {', '.join(actions)}"
            raise SettingsError(msg)
        points[name] = partial(_once, token, actions[kind])
    return points


def _once(token: Path, action: Action, name: str) -> None:
    """Act if the file is there; whoever deletes it is the one who does."""
    try:
        token.unlink()
    except FileNotFoundError:
        return
    action(name)


_armed = armed(os.environ.get(VARIABLE, ""))


def reached(name: str) -> None:
    """Do what is asked for at a point, if anything is."""
    if _armed and (action := _armed.get(name)):
        action(name)


@contextmanager
def durable(step: str) -> Iterator[None]:
    """Name a block that makes a lasting change; its points are ``<step>.before`` and ``<step>.after``."""
    reached(f"{step}.before")
    yield
    reached(f"{step}.after")

"""Starting the launcher in the background."""

import json
import os
import subprocess
import sys

from qserv.embedded.logfile import LogFile
from qserv.embedded.orphans import SUPERVISOR
from qserv.errors import ClusterError, QservError
from qserv.settings import Settings

READY = b"ready"
"""What the background launcher writes to its parent once the cluster is up."""


def tell_parent(ready_fd: int, message: bytes) -> None:
    """Write what became of the start, `READY` or a `failure_message`, once and for all."""
    os.write(ready_fd, message)
    os.close(ready_fd)


def failure_message(error: QservError) -> bytes:
    """Return an error as the parent reads it."""
    return json.dumps({"code": error.code, "message": str(error)}).encode()


def failure(message: bytes) -> QservError:
    """Return the error of a `failure_message`, of its class."""
    document = json.loads(message)
    kinds: list[type[QservError]] = [QservError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return next((kind for kind in kinds if kind.code == document["code"]), ClusterError)(document["message"])


def start_detached(settings: Settings, options: list[str]) -> None:
    """Start ``qserv up`` in the background, with its messages in the home's log, and return once the cluster is up.

    Raises
    ------
    QservError
        The one that kept it from coming up.
    ClusterError
        It ended without a word of ours; with the end of its log.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_file = LogFile(settings.home, SUPERVISOR)
    ready, write_ready = os.pipe()
    with os.fdopen(ready, "rb") as pipe:
        with log_file.open() as log:
            start_bytes = log_file.size_bytes
            launcher = subprocess.Popen(
                [sys.executable, "-P", "-m", "qserv.cli", "up", "--ready-fd", str(write_ready), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=settings.home,
                env=os.environ | settings.environment(),
                start_new_session=True,
                pass_fds=(write_ready,),
            )
        # Else the pipe would stay open, and a launcher that failed would never be noticed.
        os.close(write_ready)
        message = pipe.read()
        if message == READY:
            # It outlives us: without this, Python warns that a child was not waited for.
            launcher.returncode = 0
            return
    launcher.wait()
    if message:
        raise failure(message)
    msg = f"the launcher ended with code {launcher.returncode}; {log_file.path} ends:\n{log_file.tail(start_bytes)}"
    raise ClusterError(msg)

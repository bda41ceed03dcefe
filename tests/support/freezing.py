"""Keeps a process of a cluster, such as a PostgreSQL server, from doing anything for a while."""

import contextlib
import os
import signal
from pathlib import Path

from qserv.embedded.processes import run_records


def process_of(home, name):
    """Return a process of a cluster by name, as ``node-1-worker``."""
    (record,) = [record for record in run_records(home) if record.name == name]
    return record.process


@contextlib.contextmanager
def frozen(process):
    """Stop a process and those that it started; they go on at the end."""
    process.send(signal.SIGSTOP)  # first: it starts no other one then
    started = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    for pid in started:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield process
    finally:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        process.send(signal.SIGCONT)

"""Processes that an earlier launcher started and did not live to stop."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qserv.embedded import server
from qserv.embedded.processes import RunRecord, run_records
from qserv.errors import ClusterError

STOP_STEPS = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
"""How a worker or service is ended: asked first, then by force. With seconds."""

SUPERVISOR = "supervisor"
"""Name of the launcher's own record."""


def end_orphans(home: Path) -> tuple[RunRecord, ...]:
    """End every recorded process of a home that still runs, services before the servers they use, and forget the records.

    Call it with the home's lock held: then the launcher of these records is gone. Servers without a record (it is written just
    after the start) are found by their pid files when their data directory is used again.

    Returns
    -------
    tuple of RunRecord
        Those that still ran.

    Raises
    ------
    ClusterError
        One does not end.
    """
    records = run_records(home)
    orphans = tuple(record for record in records if record.process.alive and record.name != SUPERVISOR)
    for group in (
        [record for record in orphans if record.kind != server.KIND],
        [record for record in orphans if record.kind == server.KIND],
    ):
        if group:
            with ThreadPoolExecutor(len(group)) as pool:
                list(pool.map(_end, group))
    for record in records:
        record.remove(home)
    return orphans


def _end(record: RunRecord) -> None:
    steps = server.STOP_STEPS if record.kind == server.KIND else STOP_STEPS
    if not record.process.end(steps):
        msg = f"{record.name} (process {record.process.pid}) of an earlier run does not end; end it by hand"
        raise ClusterError(msg)

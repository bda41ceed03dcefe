"""Stopping a cluster from another process."""

import signal
from pathlib import Path

from qserv.cluster import Cluster
from qserv.embedded.launch import locked_home
from qserv.embedded.processes import run_records
from qserv.errors import ClusterError
from qserv.supervisor.status import running_supervisor

STOP_TIMEOUT_S = 120.0
"""Longer than every process of a cluster takes to be forced to end, one after the other."""


def stop_cluster(home: Path) -> int:
    """Stop the cluster of a home and wait until nothing of it runs; also what a killed launcher left behind.

    Returns
    -------
    int
        Processes that were running.

    Raises
    ------
    ClusterNotRunningError
        Nothing runs there.
    ClusterError
        The launcher does not end.
    """
    running = [record for record in run_records(home) if record.process.alive]
    if not running:
        # Nothing to stop: says that no cluster runs, unless only the mark of a killed one is left, which is cleared below.
        Cluster.load(home)
    supervisor = running_supervisor(home)
    if supervisor is not None:
        supervisor.process.send(signal.SIGTERM)
        if not supervisor.process.wait_end(STOP_TIMEOUT_S):
            msg = f"the launcher (process {supervisor.process.pid}) did not stop within {STOP_TIMEOUT_S:.0f} s; see {home / 'logs'}"
            raise ClusterError(msg)
    # Taking the home ends what a killed launcher left.
    with locked_home(home):
        return len(running)

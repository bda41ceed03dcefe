"""Puts a worker together from a node's addresses and the cluster's secrets."""

from pathlib import Path

from qserv.cluster import NODE_DATABASE, NodeAddress, Role, Secrets
from qserv.embedded.machine import this_machine
from workers.execute import Executor
from workers.loading import Loader
from workers.postgresql.reads import SILENCE_S
from workers.scheduler import Scheduler, lane_rules
from workers.server import Endpoint, WorkerServer
from workers.turns import Turns


def make_server(
    node: NodeAddress, secrets: Secrets, runs: Path, *, scheduler: Scheduler | None = None, silence_s: float = SILENCE_S
) -> WorkerServer:
    """Return a worker that listens already; its ``serve()`` blocks until ``close()`` is called from another thread.

    Parameters
    ----------
    node
        Its PostgreSQL need not be up yet. Worker port 0 takes a free one; the server's ``port`` tells which.
    secrets
        Of the cluster.
    runs
        Directory of the rows that wait to become tables; of this node alone.
    scheduler
        Says what runs when; default: by the cores of this machine.
    silence_s
        Seconds after which a silent PostgreSQL is asked whether it lives.
    """
    scheduler = scheduler or Scheduler(lane_rules(this_machine().scans(None)))
    executor = Executor(
        reader_conninfo=node.postgres.conninfo(Role.READER, NODE_DATABASE, secrets),
        connections=scheduler.most_turns,
        kept={lane: rule.slots for lane, rule in scheduler.rules.items()},
        silence_s=silence_s,
    )
    loader = Loader(node.postgres.conninfo(Role.LOADER, NODE_DATABASE, secrets), runs)
    endpoint = Endpoint(node.node, node.host, node.worker_port, secrets.cluster.get_secret_value())
    return WorkerServer(executor, loader, Turns(scheduler), endpoint)

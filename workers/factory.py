"""Puts a worker together from a node's addresses and the cluster's secrets."""

from qserv.cluster import NODE_DATABASE, NodeAddress, Role, Secrets
from workers.execute import Executor, Limits
from workers.server import Endpoint, WorkerServer
from workers.tasks import Tasks


def make_server(node: NodeAddress, secrets: Secrets, *, limits: Limits | None = None) -> WorkerServer:
    """Return a worker that listens already; its ``serve()`` blocks until ``close()`` is called from another thread.

    Parameters
    ----------
    node
        Its PostgreSQL need not be up yet. Worker port 0 takes a free one; the server's ``port`` tells which.
    secrets
        Of the cluster.
    limits
        How much to do at a time.
    """
    limits = limits or Limits()
    executor = Executor(
        reader_conninfo=node.postgres.conninfo(Role.READER, NODE_DATABASE, secrets),
        loader_conninfo=node.postgres.conninfo(Role.LOADER, NODE_DATABASE, secrets),
        limits=limits,
    )
    endpoint = Endpoint(node.node, node.host, node.worker_port, secrets.cluster.get_secret_value())
    return WorkerServer(executor, Tasks(limits.max_running, limits.max_waiting), endpoint)

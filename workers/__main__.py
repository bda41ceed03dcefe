"""``python -m workers --home <home> --node node-1``: serve one node until SIGTERM or SIGINT."""

import argparse
import signal
import sys
import threading
from pathlib import Path

import psycopg
import structlog

from qserv.cluster import NODE_DATABASE, Cluster, NodeAddress, Role, Secrets
from qserv.embedded.machine import this_machine
from qserv.errors import NodeUnavailableError, QservError
from qserv.ids import NodeId
from qserv.serving import log_to_stderr, rare_collections
from qserv.settings import Settings
from qserv.signals import setting
from workers.factory import make_server
from workers.functions import install
from workers.scheduler import Scheduler, lane_rules

RUNS_DIRECTORY = "runs"
"""Below the home: where rows of each node wait to become tables."""


def main() -> int:
    """Run the worker; return its exit code: 0 after a signal, 1 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Serve one node: chunk queries and chunk loads.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster's files")
    parser.add_argument("--node", required=True, help="name of the node, such as node-1")
    arguments = parser.parse_args()
    log_to_stderr()
    log = structlog.get_logger("workers").bind(node=arguments.node)
    # Both signals are taken from here on, so that one that comes during the start is not lost.
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, setting(over))
    try:
        node, secrets = _place(arguments.home, NodeId(arguments.node))
        _install_functions(node, secrets)
        settings = Settings.load(home=arguments.home)
        scans = this_machine().scans(settings.worker_threads)
        server = make_server(
            node,
            secrets,
            arguments.home / RUNS_DIRECTORY / node.node,
            scheduler=Scheduler(lane_rules(scans)),
            silence_s=settings.worker_silence_s,
        )
    except QservError as error:
        log.error("worker cannot start", code=error.code, reason=str(error))  # noqa: TRY400 (the message says it all)
        return 1
    log.info("worker serves", host=node.host, port=server.port)
    with rare_collections():
        over.wait()
    log.info("worker stops")
    server.close()
    return 0


def _place(home: Path, node: NodeId) -> tuple[NodeAddress, Secrets]:
    """Return where to listen and the secrets."""
    try:
        return Cluster.load(home).node(node), Secrets.load(home)
    except KeyError as error:
        msg = str(error.args[0])
        raise NodeUnavailableError(msg) from error


def _install_functions(node: NodeAddress, secrets: Secrets) -> None:
    """Make or update the SQL functions on the node's PostgreSQL."""
    try:
        with psycopg.connect(node.postgres.conninfo(Role.LOADER, NODE_DATABASE, secrets), autocommit=True) as connection:
            install(connection)
    except psycopg.Error as error:
        msg = f"PostgreSQL of {node.node} at {node.host}:{node.postgres_port} refused the SQL functions: {error}"
        raise NodeUnavailableError(msg) from error


if __name__ == "__main__":
    sys.exit(main())

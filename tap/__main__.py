"""``python -m tap --home <home>``: the web face of a running cluster, until SIGTERM or SIGINT."""

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvicorn

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.errors import PortInUseError, QservError
from qserv.settings import Settings
from tap.app import create_app

GC_THRESHOLD = 50_000
"""Objects made before Python looks for cycles: at its 700 the collector stops a busy service for up to 90 ms, again and again."""

STOP_GRACE_s = 10
"""Seconds that answers under way get to end when the service is told to stop."""


async def serve(home: Path) -> None:
    """Answer until told to stop.

    Raises
    ------
    QservError
        The service cannot start.
    """
    cluster, secrets, settings = Cluster.load(home), Secrets.load(home), Settings.load(home=home)
    _log_to_stderr(settings.log_level)
    log = structlog.get_logger("tap")
    listening = _listen(cluster.tap_host, cluster.tap_port)
    session = await Session.open(cluster, secrets, settings)
    try:
        await session.catalogue()
        app = create_app(session, settings)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=STOP_GRACE_s)
        gc.collect()
        gc.freeze()  # what was loaded so far lives as long as the service: the collector need not look at it again
        gc.set_threshold(GC_THRESHOLD)
        log.info("tap serves", url=cluster.tap_url)
        await uvicorn.Server(config).serve([listening])
        log.info("tap stops")
    finally:
        gc.unfreeze()  # else libraries find their objects alive at the end, and complain
        await session.close()
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens where the cluster says."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        msg = f"the TAP service cannot listen on {host}:{port} ({error.strerror}); set QSERV_TAP_PORT to another port"
        raise PortInUseError(msg) from error
    # asyncio sets it only on sockets made with an explicit protocol: without it every answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _log_to_stderr(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> int:
    """Run the service; return its exit code: 0 after a signal, 1 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m tap", description="Serve TAP for a running cluster.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster's files")
    arguments = parser.parse_args()
    # uvicorn stops at these signals, and then raises them again for whoever handled them before
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        asyncio.run(serve(arguments.home))
    except QservError as error:
        structlog.get_logger("tap").error("tap cannot start", code=error.code, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

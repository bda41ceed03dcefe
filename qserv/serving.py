"""What every service process does around its application: listen, log as JSON lines, serve HTTP until told to stop."""

import gc
import logging
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from qserv.errors import PortInUseError

GC_THRESHOLD = 50_000
"""Objects made before Python looks for cycles: at its 700 the collector stops a busy service for up to 90 ms, again and again."""

STOP_GRACE_S = 10
"""Seconds that answers under way get to end when a service is told to stop."""

IDLE_S = 75
"""Seconds that a connection may be idle: longer than clients keep one, who would lose a question that crosses its end."""


def log_to_stderr(level: str = "info") -> None:
    """Write the log of this process to standard error, a JSON object a line."""
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


def listen(host: str, port: int, *, service: str, setting: str) -> socket.socket:
    """Return a socket that listens where the cluster says.

    Parameters
    ----------
    service
        Who listens, as the error says it.
    setting
        The environment variable that names another port.

    Raises
    ------
    PortInUseError
        Nothing can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        msg = f"{service} cannot listen on {host}:{port} ({error.strerror}); set {setting} to another port"
        raise PortInUseError(msg) from error
    # asyncio sets it only on sockets made with an explicit protocol: without it every answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve_http(app: ASGIApp, listening: socket.socket) -> None:
    """Serve an application until SIGTERM or SIGINT, inside of `run_service`."""
    config = uvicorn.Config(
        app,
        http="httptools",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    with rare_collections():
        await uvicorn.Server(config).serve([listening])


def run_service(service: Coroutine[object, object, None]) -> None:
    """Run a service that ends with `serve_http`, on uvloop's event loop: small answers take a tenth less time than on asyncio's."""
    # uvicorn stops at these signals, and then raises them again for whoever handled them before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvloop.run(service)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the collector of cycles look seldom, and not at what is there already; for the process of a service."""
    gc.collect()
    gc.freeze()  # what was loaded so far lives as long as the service: the collector need not look at it again
    gc.set_threshold(GC_THRESHOLD)
    try:
        yield
    finally:
        gc.unfreeze()  # else libraries find their objects alive at the end, and complain

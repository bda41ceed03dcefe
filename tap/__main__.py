"""``python -m tap --home <home>``: the web face of a running cluster, until SIGTERM or SIGINT."""

import argparse
import sys
from pathlib import Path

import structlog

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.errors import QservError
from qserv.serving import listen, log_to_stderr, run_service, serve_http
from qserv.settings import Settings
from tap.app import create_app


async def serve(home: Path) -> None:
    """Answer until told to stop.

    Raises
    ------
    QservError
        The service cannot start.
    """
    cluster, secrets, settings = Cluster.load(home), Secrets.load(home), Settings.load(home=home)
    log_to_stderr(settings.log_level)
    log = structlog.get_logger("tap")
    listening = listen(cluster.tap_host, cluster.tap_port, service="the TAP service", setting="QSERV_TAP_PORT")
    session = await Session.open(cluster, secrets, settings)
    try:
        await session.catalogue()
        app = create_app(session, settings)
        log.info("tap serves", url=cluster.tap_url)
        await serve_http(app, listening)
        log.info("tap stops")
    finally:
        await session.close()
        listening.close()


def main() -> int:
    """Run the service; return its exit code: 0 after a signal, 1 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m tap", description="Serve TAP for a running cluster.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster's files")
    arguments = parser.parse_args()
    try:
        run_service(serve(arguments.home))
    except QservError as error:
        structlog.get_logger("tap").error("tap cannot start", code=error.code, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

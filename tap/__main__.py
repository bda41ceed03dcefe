"""Start the web face of a running cluster: ``python -m tap --home <home>``."""

import argparse
import asyncio
import gc
from pathlib import Path

import uvicorn

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.settings import Settings
from tap.app import create_app

GC_THRESHOLD = 50_000
"""Objects made before Python looks for cycles: at its 700, collections cost a query 10 % and pauses of up to 90 ms show."""

STOP_GRACE_s = 10
"""Seconds that answers under way get to end when the service is told to stop."""


async def serve(home: Path) -> None:
    """Answer until told to stop by SIGTERM or Ctrl-C."""
    cluster, secrets, settings = Cluster.load(home), Secrets.load(home), Settings.load(home=home)
    session = await Session.open(cluster, secrets, settings)
    try:
        await session.catalogue()
        config = uvicorn.Config(
            create_app(session, settings),
            host=cluster.tap_host,
            port=cluster.tap_port,
            log_level=settings.log_level,
            access_log=settings.log_level == "debug",
            timeout_graceful_shutdown=STOP_GRACE_s,
        )
        gc.collect()
        gc.freeze()  # what was loaded so far lives as long as the service: the collector need not look at it again
        gc.set_threshold(GC_THRESHOLD)
        await uvicorn.Server(config).serve()
    finally:
        await session.close()


def main() -> None:
    """Run the service."""
    parser = argparse.ArgumentParser(prog="python -m tap", description="The TAP service of a running cluster.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster")
    asyncio.run(serve(parser.parse_args().home))


if __name__ == "__main__":
    main()

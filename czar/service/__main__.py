"""``python -m czar.service --home <home>``: the API of a czar of a running cluster, until SIGTERM or SIGINT."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlglot import exp

from czar.service.answers import Asking
from czar.service.app import create_app
from czar.service.jobs import Jobs
from czar.service.parts import Parts
from czar.service.results import Results
from czar.service.runner import JobRunner
from czar.session import Session
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.errors import QservError
from qserv.metadata.engine import make_engine
from qserv.serving import listen, log_to_stderr, run_service, serve_http
from qserv.settings import Settings


async def serve(home: Path, readers: dict[str, Callable[[str], exp.Expr]]) -> None:
    """Answer and run jobs until told to stop.

    Raises
    ------
    QservError
        The service cannot start.
    """
    cluster, secrets, settings = Cluster.load(home), Secrets.load(home), Settings.load(home=home)
    log_to_stderr(settings.log_level)
    log = structlog.get_logger("czar.service")
    listening = listen(cluster.czar_host, cluster.czar_port, service="the czar's API", setting="QSERV_CZAR_PORT")
    session = await Session.open(cluster, secrets, settings)
    metadata = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets), settings.metadata_silence_s)
    asking, results = Asking(session, readers), Results(home)
    jobs = Jobs(metadata, settings.job_keep_s, settings.max_kept_bytes_per_user)
    runner = JobRunner(asking, jobs, results)
    try:
        await session.catalogue()
        runner.start()
        app = create_app(Parts(asking, jobs, results, runner, settings.max_rows), secrets.cluster)
        log.info("czar serves", url=cluster.czar_url)
        await serve_http(app, listening)
        log.info("czar stops")
    finally:
        await runner.close()
        await session.close()
        await metadata.dispose()
        listening.close()


def _reader(option: str) -> tuple[str, Callable[[str], exp.Expr]]:
    """Return the name of a dialect and the function that reads it, from ``name=module:function``.

    Who starts the service names them: a czar may not know of what stands above it.
    """
    name, _, place = option.partition("=")
    module, _, function = place.partition(":")
    return name, getattr(importlib.import_module(module), function)


def main() -> int:
    """Run the service; return its exit code: 0 after a signal, 1 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m czar.service", description="Serve a czar's API for a running cluster.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster's files")
    parser.add_argument("--dialect", action="append", default=[], metavar="NAME=MODULE:FUNCTION", help="a further dialect")
    arguments = parser.parse_args()
    try:
        run_service(serve(arguments.home, dict(map(_reader, arguments.dialect))))
    except QservError as error:
        structlog.get_logger("czar.service").error("czar cannot start", code=error.code, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

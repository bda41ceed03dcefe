"""``python -m ingest.service --home <home>``: the ingest service of a running cluster, until SIGTERM or SIGINT."""

import argparse
import os
import sys
from pathlib import Path

import structlog

from ingest.merging import Merger
from ingest.readers.pool import MOST_READERS_UNASKED, Readers
from ingest.service.app import Parts, create_app
from ingest.service.contributions import Contributions
from ingest.service.databases import Databases
from ingest.service.requests import Requests
from ingest.service.runner import UPLOADS, LoadRunner
from ingest.service.streams import Endpoint, StreamServer
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.errors import QservError
from qserv.metadata.engine import make_engine
from qserv.serving import listen, log_to_stderr, run_service, serve_http
from qserv.settings import Settings

LOOK_S = 10.0
"""How often it is looked for segments to merge."""

CONNECTIONS = 16
"""To the metadata database: each load that runs and each open transaction holds one all the time, and needs others for moments."""


def _readers() -> int:
    """Return how many processes read files: the nodes of an embedded cluster need cores as well."""
    return min(max(len(os.sched_getaffinity(0)) // 2, 1), MOST_READERS_UNASKED)


async def serve(home: Path) -> None:
    """Answer and load until told to stop.

    Raises
    ------
    QservError
        The service cannot start.
    """
    cluster, secrets, settings = Cluster.load(home), Secrets.load(home), Settings.load(home=home)
    log_to_stderr(settings.log_level)
    log = structlog.get_logger("ingest.service")
    listening = listen(cluster.ingest_host, cluster.ingest_port, service="the ingest service", setting="QSERV_INGEST_PORT")
    url = cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets)
    engine, secret = make_engine(url, settings.metadata_silence_s, CONNECTIONS), secrets.cluster.get_secret_value()
    runner = LoadRunner(engine, secret, home, settings.chunk_target_rows, Readers(settings.ingest_readers or _readers()))
    merger = Merger(engine, secret, settings.merge_segments, settings.merge_quiet_s, min(LOOK_S, settings.merge_quiet_s))
    contributions = Contributions(engine, home / UPLOADS, settings.upload_silence_s)
    streams: StreamServer | None = None
    try:
        runner.start()
        merger.start()
        endpoint = Endpoint(cluster.ingest_host, cluster.ingest_flight_port, secret)
        streams = StreamServer(endpoint, contributions, runner.tell, settings.upload_silence_s)
        parts = Parts(engine, Requests(engine), contributions, runner, Databases(engine, secret), streams.port)
        app = create_app(parts, secrets.cluster)
        log.info("ingest serves", url=cluster.ingest_url, flight=cluster.ingest_flight_url)
        await serve_http(app, listening)
        log.info("ingest stops")
    finally:
        if streams is not None:
            await streams.close()
        await merger.close()
        await runner.close()
        await engine.dispose()
        listening.close()


def main() -> int:
    """Run the service; return its exit code: 0 after a signal, 1 where it could not start."""
    parser = argparse.ArgumentParser(prog="python -m ingest.service", description="Load files into a running cluster.")
    parser.add_argument("--home", type=Path, required=True, help="directory of the cluster's files")
    arguments = parser.parse_args()
    try:
        run_service(serve(arguments.home))
    except QservError as error:
        structlog.get_logger("ingest.service").error("ingest cannot start", code=error.code, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

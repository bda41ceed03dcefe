"""``qserv up``."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.status import print_status
from qserv.cluster import Cluster, Secrets
from qserv.embedded.logfile import LOG_DIRECTORY
from qserv.errors import QservError
from qserv.metadata.startup import published_version
from qserv.supervisor.detach import READY, failure_message, start_detached, tell_parent
from qserv.supervisor.services import all_services, no_services
from qserv.supervisor.signals import stop_signals
from qserv.supervisor.status import cluster_status
from qserv.supervisor.supervisor import embedded_cluster


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    home: HomeOption = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes of a new cluster; default: QSERV_NODES.", show_default=False)] = None,
    tap_port: Annotated[
        int | None,
        typer.Option(help="Port of the TAP service, 0 for a free one; default: QSERV_TAP_PORT.", show_default=False),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once the cluster is up; it keeps running.")] = False,
    postgres_only: Annotated[bool, typer.Option("--postgres-only", help="Start no workers and no TAP service.")] = False,
    as_json: JsonOption = False,
    ready_fd: Annotated[int | None, typer.Option(hidden=True, help="File descriptor to write to once up.")] = None,
) -> None:
    """Start the embedded cluster of this machine and keep it running until Ctrl-C, SIGTERM or `qserv down`."""
    settings = load_settings(home=home, nodes=nodes, tap_port=tap_port)
    if detach:
        start_detached(settings, ["--postgres-only"] if postgres_only else [])
        _show(settings.home, as_json=as_json)
        return
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=settings.log_level.upper())
    services = no_services if postgres_only else all_services
    quiet = as_json or ready_fd is not None
    with _told_to_parent(ready_fd), stop_signals() as stop:
        starting = nullcontext() if quiet else console.status(f"starting the cluster in {settings.home}")
        with starting as spinner, embedded_cluster(settings, services=services, cancelled=stop) as cluster:
            if not postgres_only:
                show_tap_schema(cluster)
            if spinner is not None:
                spinner.stop()
            if ready_fd is not None:
                tell_parent(ready_fd, READY)
            else:
                _show(settings.home, as_json=as_json)
                if not as_json:
                    console.print(f"logs  {settings.home / LOG_DIRECTORY}", soft_wrap=True)
                    console.print("\nCtrl-C stops it.")
            stop.wait()


def show_tap_schema(cluster: Cluster) -> None:
    """Publish TAP_SCHEMA in a cluster in which nothing was published yet."""
    secrets = Secrets.load(cluster.home)
    if asyncio.run(published_version(cluster, secrets)) == 0:
        from ingest.first_publication import publish_tap_schema  # noqa: PLC0415 (heavy, and needed once in a cluster's life)

        asyncio.run(publish_tap_schema(cluster, secrets))


@contextmanager
def _told_to_parent(ready_fd: int | None) -> Iterator[None]:
    """Hand an error to the process that started us in the background."""
    try:
        yield
    except QservError as error:
        if ready_fd is not None:
            tell_parent(ready_fd, failure_message(error))
        raise


def _show(home: Path, *, as_json: bool) -> None:
    status = cluster_status(home)
    if as_json:
        print_json(status.document())
    else:
        print_status(status)

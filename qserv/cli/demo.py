"""``qserv demo``."""

import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from qserv.cli.demonstration import Demonstration
from qserv.cli.options import HomeOption, load_settings
from qserv.cli.output import console
from qserv.embedded.ports import is_free
from qserv.errors import SettingsError
from qserv.settings import Settings, default_home
from qserv.supervisor.signals import stop_signals
from qserv.supervisor.supervisor import embedded_cluster


def command(
    home: HomeOption = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the questions, rather than stay up.")] = False,
    big: Annotated[
        Path | None,
        typer.Option("--big", help="Parquet file of the bigsky catalogue, to be loaded too.", show_default=False),
    ] = None,
) -> None:
    """Start a cluster, load a real catalogue, ask it three questions through TAP, and stay up."""
    if big is not None and not big.exists():
        msg = f"--big {big}: there is no such file"
        raise SettingsError(msg)
    settings = _settings(home)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    with stop_signals() as stop:
        spinner = console.status(f"starting {settings.nodes} nodes in {settings.home}") if console.is_terminal else nullcontext()
        with spinner as shown, embedded_cluster(settings, cancelled=stop) as cluster:
            if shown is not None:
                shown.stop()
            console.print(f"{len(cluster.nodes)} nodes are up in {settings.home}", soft_wrap=True)
            Demonstration(cluster, settings, console).run(big)
            if once or stop.is_set():
                return
            console.print(f"\nThe archive stays up. In a browser: {cluster.tap_url.removesuffix('tap')}", soft_wrap=True)
            console.print(f"TAP for TOPCAT, pyVO, STILTS:       {cluster.tap_url}", soft_wrap=True)
            console.print("Ctrl-C stops it.")
            stop.wait()


def _settings(home: Path | None) -> Settings:
    """Return the settings of a demonstration: a home of its own, and a free port where the usual one is taken."""
    settings = load_settings(home=home)
    given = settings.model_fields_set
    if "home" not in given:
        settings = load_settings(home=default_home().with_name("qserv-demo"))
    if "tap_port" not in given and not is_free(settings.tap_port, settings.tap_host):
        settings = load_settings(home=settings.home, tap_port=0)
    return settings

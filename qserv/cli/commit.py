"""``qserv commit``."""

import typer

from qserv.cli.begin import NameArgument
from qserv.cli.ingest import show
from qserv.cli.loading import open_ingest, watched
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import print_json


def command(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Commit a transaction: all that was sent is published together. Its tables are made first, which takes a while."""
    from qserv.api.errors import error_of  # noqa: PLC0415 (heavy, not needed for --help)

    with open_ingest(load_settings(home=home)) as ingest:
        load = watched(ingest, ingest.commit(name), quiet=as_json)
    if load.error is not None:
        raise error_of(load.error)
    if load.report is None:
        raise typer.Exit(0)
    if as_json:
        print_json(load.report.model_dump())
    else:
        show(load.report)

"""``qserv withdraw``."""

from typing import Annotated

import typer

from qserv.cli.loading import open_ingest, watched
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(
    transaction: Annotated[str, typer.Argument(help="Committed transaction that appended rows.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Of the work: asked for again, it is done once. Default: withdraw-TRANSACTION.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the rows of a committed transaction away, of all tables at once, while queries go on."""
    from qserv.api.errors import error_of  # noqa: PLC0415 (heavy, not needed for --help)

    with open_ingest(load_settings(home=home)) as ingest:
        load = watched(ingest, ingest.withdraw(name or f"withdraw-{transaction}", transaction), quiet=as_json)
    if load.error is not None:
        raise error_of(load.error)
    if as_json:
        print_json(load.model_dump(mode="json"))
        return
    tables = load.report.tables if load.report else ()
    rows = ", ".join(f"{table.rows:,} of {table.table}" for table in tables) or "none"
    console.print(f"{transaction} is withdrawn; rows that are gone: {rows}", soft_wrap=True)

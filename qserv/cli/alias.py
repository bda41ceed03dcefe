"""``qserv alias``."""

from typing import Annotated

import typer
from rich.table import Table

from qserv.cli.loading import open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(
    alias: Annotated[str | None, typer.Argument(help="Default: list all.", show_default=False)] = None,
    database: Annotated[str | None, typer.Argument(help="What it means from now on.", show_default=False)] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Let it mean nothing any more.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a name such as dr_current mean a database, at once and for all queries that begin then."""
    if alias is not None and drop == (database is not None):
        msg = "give the database that the alias is to mean, or --drop"
        raise typer.BadParameter(msg)
    with open_ingest(load_settings(home=home)) as ingest:
        if alias is not None and drop:
            ingest.drop_alias(alias)
        elif alias is not None and database is not None:
            ingest.set_alias(alias, database)
        known = ingest.aliases()
    if as_json:
        print_json(known)
        return
    table = Table("alias", "database")
    for name, meant in sorted(known.items()):
        table.add_row(name, meant)
    console.print(table)

"""``qserv drop``."""

from typing import Annotated

import typer

from qserv.cli.loading import open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(
    name: Annotated[str, typer.Argument(metavar="DATABASE[.TABLE]", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a table, or all tables of a database, from all nodes."""
    database, _, table = name.partition(".")
    with open_ingest(load_settings(home=home)) as ingest:
        found = ingest.database(database)
        rows = sum(each.rows for each in found.tables if table in {"", each.name})
        if not yes and not as_json:
            typer.confirm(f"Delete {name} with its {rows:,} rows?", abort=True)
        ingest.drop(database, table or None)
    if as_json:
        print_json({"dropped": name, "rows": rows})
    else:
        console.print(f"{name} is deleted: {rows:,} rows", soft_wrap=True)

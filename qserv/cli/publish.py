"""``qserv publish``."""

from typing import Annotated

import typer

from qserv.cli.loading import open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(
    name: Annotated[str, typer.Argument(metavar="DATABASE[.TABLE]", show_default=False)],
    withhold: Annotated[bool, typer.Option("--withhold", help="Withhold it from users; its rows stay.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show users a table, or all tables of a database, that were withheld from them; or withhold them."""
    database, _, table = name.partition(".")
    with open_ingest(load_settings(home=home)) as ingest:
        found = (ingest.withhold if withhold else ingest.publish)(database, table or None)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for each in found.tables:
        console.print(f"{database}.{each.name} is {'published' if each.published else 'withheld from users'}", soft_wrap=True)

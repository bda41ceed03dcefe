"""``qserv append``."""

from typing import Annotated

import typer

from qserv.cli.begin import NameArgument
from qserv.cli.loading import open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    name: NameArgument,
    database: Annotated[str, typer.Argument(help="Published database.", show_default=False)],
    table: Annotated[
        list[str] | None, typer.Option(help="Tables that rows are sent for; default: all.", show_default=False)
    ] = None,
    max_bad_rows: Annotated[int, typer.Option(min=0, help="Rows of each file that may be set aside.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a transaction that adds rows to published tables. Asking twice begins one."""
    from ingest.service.models import TransactionRequest  # noqa: PLC0415 (heavy, not needed for --help)

    request = TransactionRequest(append_to=database, tables=tuple(table or ()), max_bad_rows=max_bad_rows)
    with open_ingest(load_settings(home=home)) as ingest:
        load = ingest.begin(name, request)
    if as_json:
        print_json(load.model_dump(mode="json"))
    else:
        console.print(
            f"{name} is {load.state}; `qserv send {name} TABLE=FILE` sends files, `qserv commit {name}` shows their rows",
            soft_wrap=True,
        )

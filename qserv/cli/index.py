"""``qserv index``."""

from typing import Annotated

import typer

from qserv.cli.loading import open_ingest, watched
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.showing import plain_table, show


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    table: Annotated[str, typer.Argument(metavar="DATABASE.TABLE", show_default=False)],
    columns: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN...]", help="Of one index; none: list them.", show_default=False)
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Drop it rather than make it.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the work: asked for again, it is done once. Default: one of its own.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an index of a published table, or drop one, while queries go on; without columns, list those that there are."""
    from ingest.provenance import new_name  # noqa: PLC0415 (heavy, not needed for --help)
    from ingest.service.models import IndexRequest  # noqa: PLC0415
    from qserv.api.errors import error_of  # noqa: PLC0415

    database, _, of_table = table.partition(".")
    with open_ingest(load_settings(home=home)) as ingest:
        if columns:
            request = IndexRequest(columns=tuple(columns), drop=drop)
            load = watched(ingest, ingest.index(name or new_name(database), database, of_table, request), quiet=as_json)
            if load.error is not None:
                raise error_of(load.error)
        found = [each.indexes for each in ingest.database(database).tables if each.name == of_table]
    if not found:
        msg = f"database {database} has no table {of_table!r}"
        raise typer.BadParameter(msg, param_hint="DATABASE.TABLE")
    if as_json:
        print_json({"indexes": found[0]})
        return
    shown = plain_table(("index",))
    for index in found[0]:
        shown.add_row(", ".join(index))
    show(console, shown, paged=False)

"""``qserv column``."""

from typing import Annotated

import typer
from rich.text import Text

from qserv.cli.loading import open_ingest, watched
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.showing import plain_table, show
from schema.model import ColumnType


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    table: Annotated[str, typer.Argument(metavar="DATABASE.TABLE", show_default=False)],
    column: Annotated[str | None, typer.Argument(help="Name of a new one; none: list them.", show_default=False)] = None,
    datatype: Annotated[ColumnType | None, typer.Option("--type", help="Felis type of a new one.", show_default=False)] = None,
    length: Annotated[int | None, typer.Option(help="Of a text, in characters, or of bytes.", show_default=False)] = None,
    unit: Annotated[str | None, typer.Option(help="In VOUnit syntax.", show_default=False)] = None,
    ucd: Annotated[str | None, typer.Option(help="What it is, as a UCD.", show_default=False)] = None,
    description: Annotated[str, typer.Option(help="What it holds.", show_default=False)] = "",
    default: Annotated[
        str | None, typer.Option(help="Its value where rows have none of their own. Default: NULL.", show_default=False)
    ] = None,
    nullable: Annotated[bool, typer.Option(help="Whether later rows may have NULL.")] = True,
    name: Annotated[
        str | None, typer.Option(help="Of the work: asked for again, it is done once. Default: one of its own.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a column to a published table while queries go on; without one, list those that there are."""
    from ingest.provenance import new_name  # noqa: PLC0415 (heavy, not needed for --help)
    from ingest.service.models import ColumnRequest  # noqa: PLC0415
    from qserv.api.errors import error_of  # noqa: PLC0415

    database, _, of_table = table.partition(".")
    with open_ingest(load_settings(home=home)) as ingest:
        if column is not None:
            if datatype is None:
                msg = "a new column has a type, such as --type double"
                raise typer.BadParameter(msg, param_hint="--type")
            request = ColumnRequest(
                column=column,
                datatype=datatype,
                length=length,
                nullable=nullable,
                unit=unit,
                ucd=ucd,
                description=description,
                default=default,
            )
            load = watched(ingest, ingest.add_column(name or new_name(database), database, of_table, request), quiet=as_json)
            if load.error is not None:
                raise error_of(load.error)
        found = ingest.table(database, of_table).statistics
    if as_json:
        print_json({"columns": [each.model_dump() for each in found]})
        return
    shown = plain_table(("column", "type", "unit", "ucd", "default", "smallest", "largest", "nulls"))
    for each in found:
        words = (each.name, each.datatype, each.unit, each.ucd, each.default, each.minimum, each.maximum)
        shown.add_row(*(Text(word or "") for word in words), f"{each.nulls:,}")  # not Rich's markup
    show(console, shown, paged=False)

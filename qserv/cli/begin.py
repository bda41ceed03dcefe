"""``qserv begin``."""

from typing import Annotated

import typer

from qserv.cli.ingest import ReplaceOption, ReplicasOption, SchemaArgument, given_files
from qserv.cli.loading import absolute, open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json

NameArgument = Annotated[str, typer.Argument(help="Of the transaction.", show_default=False)]


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    name: NameArgument,
    schema: SchemaArgument,
    table: Annotated[list[str] | None, typer.Option(help="Tables that it makes; default: all.", show_default=False)] = None,
    chunk_order: Annotated[
        int | None, typer.Option(min=0, max=12, help="HEALPix order of chunks, in a new family.", show_default=False)
    ] = None,
    positions: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=FILE", help="Rather than that: files after which the sky is cut.", show_default=False),
    ] = None,
    replicas: ReplicasOption = 1,
    replace: ReplaceOption = False,
    max_bad_rows: Annotated[int, typer.Option(min=0, help="Rows of each file that may be set aside.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a transaction, into which files are sent one by one. Asking twice begins one."""
    from ingest.service.models import TransactionRequest  # noqa: PLC0415 (heavy, not needed for --help)

    request = TransactionRequest(
        schema_file=absolute(schema),
        tables=tuple(table or ()),
        chunk_order=chunk_order,
        positions={name: tuple(map(absolute, words)) for name, words in given_files(positions or ()).items()},
        replicas=replicas,
        replace=replace,
        max_bad_rows=max_bad_rows,
    )
    with open_ingest(load_settings(home=home)) as ingest:
        load = ingest.begin(name, request)
    if as_json:
        print_json(load.model_dump(mode="json"))
    else:
        console.print(
            f"{name} is {load.state}; `qserv send {name} TABLE=FILE` sends files, `qserv commit {name}` ends it", soft_wrap=True
        )

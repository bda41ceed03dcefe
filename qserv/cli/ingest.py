"""``qserv ingest``."""

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qserv.cli.loading import Wish, load_with_progress, queue
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json, print_table

if TYPE_CHECKING:
    from ingest.formats.source import ReadOptions
    from ingest.service.models import ReportInfo

SchemaArgument = Annotated[Path, typer.Argument(help="Felis file of the database.", show_default=False)]
FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE=FILE...", help="Files of rows, directories, patterns, URLs; a table may have several.", show_default=False
    ),
]


FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="parquet, csv, fits, arrow or votable; default: as the files look.", show_default=False),
]
DelimiterOption = Annotated[str | None, typer.Option(help="Of CSV files; default: a comma, a tab for .tsv.", show_default=False)]
QuoteOption = Annotated[str, typer.Option(help="Around values of CSV files; '' for nothing.")]
NullOption = Annotated[list[str] | None, typer.Option(help="Text of CSV files that is NULL.", show_default="an empty one")]
EncodingOption = Annotated[str, typer.Option(help="Of CSV files.")]
HeaderOption = Annotated[bool, typer.Option(help="Whether CSV files begin with names; else columns are in the schema's order.")]
UnitsOption = Annotated[bool, typer.Option("--ignore-units", help="Whatever unit a file says, take values as they are.")]
ReplicasOption = Annotated[int, typer.Option(min=1, help="Nodes that hold each chunk.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Put the rows in place of published tables.")]


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    schema: SchemaArgument,
    files: FilesArgument,
    file_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    quote: QuoteOption = '"',
    null: NullOption = None,
    encoding: EncodingOption = "utf-8",
    header: HeaderOption = True,
    ignore_units: UnitsOption = False,
    max_bad_rows: Annotated[
        int, typer.Option(min=0, help="Rows that may be set aside because they cannot be stored; with more, nothing is loaded.")
    ] = 0,
    rejects: Annotated[
        Path | None, typer.Option(help="Where they are named; default: <schema>.rejects.jsonl.", show_default=False)
    ] = None,
    replicas: ReplicasOption = 1,
    replace: ReplaceOption = False,
    name: Annotated[
        str | None,
        typer.Option(help="Of the load: asked for again, it is not done again. Default: one of its own.", show_default=False),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end; `qserv loads` tells of it.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load files into tables of the running cluster and publish them."""
    settings = load_settings(home=home)
    reading = read_options(file_format, delimiter, quote, null, encoding, header=header, ignore_units=ignore_units)
    wish = Wish(schema, given_files(files), reading, replicas, replace, max_bad_rows, name)
    if detach:
        load = queue(settings, wish)
        if as_json:
            print_json(load.model_dump(mode="json"))
        else:
            console.print(f"{load.name} is {load.state}; `qserv loads {load.name}` tells how far it is", soft_wrap=True)
        return
    aside = rejects or Path(f"{schema.stem}.rejects.jsonl")
    report = load_with_progress(settings, wish, rejects=aside, quiet=as_json)
    if as_json:
        print_json(report.model_dump())
    else:
        show(report)
        if any(table.rejected for table in report.tables):
            console.print(f"rows that were set aside: {aside}", soft_wrap=True)


def read_options(  # noqa: PLR0913 (as many as there are options)
    file_format: str | None,
    delimiter: str | None,
    quote: str,
    null: Sequence[str] | None,
    encoding: str,
    *,
    header: bool,
    ignore_units: bool,
) -> "ReadOptions":
    """Return how files are read."""
    from ingest.formats.source import Format, ReadOptions  # noqa: PLC0415 (heavy, not needed for --help)

    if file_format is not None and file_format not in set(Format):
        msg = f"{file_format!r} is not one of {', '.join(Format)}"
        raise typer.BadParameter(msg, param_hint="--format")
    check_encoding(encoding)
    return ReadOptions(
        format=None if file_format is None else Format(file_format),
        delimiter=delimiter,
        quote=quote or None,
        null_texts=tuple(null) if null is not None else ("",),
        encoding=encoding,
        header=header,
        ignore_units=ignore_units,
    )


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that Python does not know."""
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        msg = f"{encoding!r} is not known; it is a name such as utf-8 or latin-1"
        raise typer.BadParameter(msg, param_hint="--encoding") from error


def given_files(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return words for files by table, from words such as ``object=object.parquet``."""
    files: dict[str, list[str]] = {}
    for argument in arguments:
        table, equals, path = argument.partition("=")
        if not (table and equals and path):
            msg = f"{argument!r} is not of the form TABLE=FILE, such as object=object.parquet"
            raise typer.BadParameter(msg)
        files.setdefault(table, []).append(path)
    return files


def show(report: "ReportInfo") -> None:
    """Print what a load did, for people."""
    rows = (
        (
            f"{report.database}.{table.table}",
            f"{table.rows:,}",
            f"{table.overlap_rows:,}",
            str(table.chunks),
            f"{table.seconds:.1f}",
        )
        for table in report.tables
    )
    print_table(("table", "rows", "overlap rows", "chunks", "seconds"), rows)
    for table in report.tables:
        if table.ignored_columns:
            console.print(f"{table.table}: not in the schema, left out: {', '.join(table.ignored_columns)}", soft_wrap=True)
    for table in report.tables:
        if table.rejected:
            console.print(f"{table.table}: {table.rejected:,} bad rows set aside", soft_wrap=True)
        if table.orphans:
            keys = ", ".join("NULL" if key is None else str(key) for key in table.orphan_keys)
            console.print(f"{table.table}: {table.orphans:,} rows kept without a director, of keys such as {keys}", soft_wrap=True)
    count = sum(table.rows for table in report.tables)
    console.print(f"\n{count:,} rows published in {report.seconds:.1f} s, {count / report.seconds:,.0f} rows/s", soft_wrap=True)

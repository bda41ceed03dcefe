"""``qserv ingest``."""

import asyncio
import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json, print_table
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets

if TYPE_CHECKING:
    from ingest.formats.source import ReadOptions
    from ingest.locations import Location
    from ingest.report import LoadReport
    from ingest.report import Progress as Step
    from qserv.settings import Settings

SchemaArgument = Annotated[Path, typer.Argument(help="Felis file of the database.", show_default=False)]
FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE=FILE...", help="Files of rows, directories, patterns, URLs; a table may have several.", show_default=False
    ),
]


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    schema: SchemaArgument,
    files: FilesArgument,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="parquet, csv, fits, arrow or votable; default: as the files look.", show_default=False),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Of CSV files; default: a comma, a tab for .tsv.", show_default=False)
    ] = None,
    quote: Annotated[str, typer.Option(help="Around values of CSV files; '' for nothing.")] = '"',
    null: Annotated[list[str] | None, typer.Option(help="Text of CSV files that is NULL.", show_default="an empty one")] = None,
    encoding: Annotated[str, typer.Option(help="Of CSV files.")] = "utf-8",
    header: Annotated[
        bool, typer.Option(help="Whether CSV files begin with names; else columns are in the schema's order.")
    ] = True,
    ignore_units: Annotated[
        bool, typer.Option("--ignore-units", help="Whatever unit a file says, take values as they are.")
    ] = False,
    max_bad_rows: Annotated[
        int, typer.Option(min=0, help="Rows that may be set aside because they cannot be stored; with more, nothing is loaded.")
    ] = 0,
    rejects: Annotated[
        Path | None, typer.Option(help="Where they are named; default: <schema>.rejects.jsonl.", show_default=False)
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Nodes that hold each chunk.")] = 1,
    replace: Annotated[bool, typer.Option("--replace", help="Put the rows in place of published tables.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load files into tables of the running cluster and publish them."""
    settings = load_settings(home=home)
    from ingest.formats.source import Format, ReadOptions  # noqa: PLC0415 (heavy, not needed for --help)

    if file_format is not None and file_format not in set(Format):
        msg = f"{file_format!r} is not one of {', '.join(Format)}"
        raise typer.BadParameter(msg, param_hint="--format")
    check_encoding(encoding)
    reading = ReadOptions(
        format=None if file_format is None else Format(file_format),
        delimiter=delimiter,
        quote=quote or None,
        null_texts=tuple(null) if null is not None else ("",),
        encoding=encoding,
        header=header,
        ignore_units=ignore_units,
    )
    report = load_with_progress(
        settings,
        schema,
        read_files(files),
        reading=reading,
        replicas=replicas,
        replace=replace,
        max_bad_rows=max_bad_rows,
        rejects=rejects,
        quiet=as_json,
    )
    if as_json:
        print_json(asdict(report))
    else:
        show(report)
        if any(table.rejected for table in report.tables):
            console.print(f"rows that were set aside: {rejects or f'{schema.stem}.rejects.jsonl'}", soft_wrap=True)


def load_with_progress(  # noqa: PLR0913 (options of a command line are parameters)
    settings: "Settings",
    schema: Path,
    files: "Mapping[str, Sequence[Location]]",
    *,
    reading: "ReadOptions | None" = None,
    replicas: int = 1,
    replace: bool = False,
    max_bad_rows: int = 0,
    rejects: Path | None = None,
    quiet: bool = False,
) -> "LoadReport":
    """Load files into tables of the running cluster, a bar for each step unless ``quiet``; see `ingest.load.load_catalogue`."""
    from ingest.formats.source import DEFAULT  # noqa: PLC0415 (heavy, not needed for --help)
    from ingest.load import LoadOptions, load_catalogue  # noqa: PLC0415 (heavy, not needed for --help)
    from qserv.metadata.engine import make_engine  # noqa: PLC0415
    from schema.felis import read_database  # noqa: PLC0415

    cluster, secrets = Cluster.load(settings.home), Secrets.load(settings.home)
    database = read_database(schema)
    options = LoadOptions(
        chunk_target_rows=settings.chunk_target_rows,
        replicas=replicas,
        reading=reading or DEFAULT,
        replace=replace,
        max_bad_rows=max_bad_rows,
        rejects=rejects or Path(f"{schema.stem}.rejects.jsonl"),
    )

    async def load(progress: Callable[["Step"], None]) -> "LoadReport":
        engine = make_engine(
            cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets), settings.metadata_silence_s
        )
        try:
            secret = secrets.cluster.get_secret_value()
            return await load_catalogue(engine, secret, database, files, options=options, progress=progress)
        finally:
            await engine.dispose()

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Bars go to stderr, so that what is printed can be read by a program.
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
        return asyncio.run(load(_Bars(bars).show))


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that Python does not know."""
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        msg = f"{encoding!r} is not known; it is a name such as utf-8 or latin-1"
        raise typer.BadParameter(msg, param_hint="--encoding") from error


def read_files(arguments: Sequence[str]) -> "dict[str, list[Location]]":
    """Return files by table, from words such as ``object=object.parquet``, also of directories, patterns and URLs.

    Raises
    ------
    BadFileError
        There is no such file.
    """
    from ingest.locations import located  # noqa: PLC0415 (heavy, not needed for --help)

    files: dict[str, list[Location]] = {}
    for argument in arguments:
        table, equals, path = argument.partition("=")
        if not (table and equals and path):
            msg = f"{argument!r} is not of the form TABLE=FILE, such as object=object.parquet"
            raise typer.BadParameter(msg)
        files.setdefault(table, []).extend(located(path))
    return files


def show(report: "LoadReport") -> None:
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
    count = sum(table.rows for table in report.tables)
    console.print(f"\n{count:,} rows published in {report.seconds:.1f} s, {count / report.seconds:,.0f} rows/s", soft_wrap=True)


class _Bars:
    """One bar for each step of each table."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def show(self, step: "Step") -> None:
        key = (step.table, step.stage.value)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(f"{step.table}: {step.stage.value}", total=step.total)
        self._bars.update(self._tasks[key], completed=step.done, total=step.total)

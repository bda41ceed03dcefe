"""``qserv export``."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from qserv.cli.asking import Dialect, DialectOption, open_czar, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    what: Annotated[
        str, typer.Argument(metavar="TABLE|SELECT", help="DATABASE.TABLE, or a query; - reads it.", show_default=False)
    ],
    directory: Annotated[Path, typer.Argument(help="Where the collection is written; it must not be there.", show_default=False)],
    margin: Annotated[float, typer.Option(min=0, help="How far around a partition its margin reaches, arcsec; 0 for none.")] = 5.0,
    partition_rows: Annotated[int, typer.Option(min=1, help="Rows of a partition, at most.")] = 1_000_000,
    partition_mib: Annotated[int, typer.Option(min=1, help="MiB of a partition in memory, at most.")] = 1024,
    name: Annotated[
        str | None, typer.Option(help="Of the catalogue of a query; default: that of the directory.", show_default=False)
    ] = None,
    ra: Annotated[str | None, typer.Option(help="Column of a query's right ascension, degrees.", show_default=False)] = None,
    dec: Annotated[str | None, typer.Option(help="Column of a query's declination, degrees.", show_default=False)] = None,
    dialect: DialectOption = Dialect.NATIVE,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a collection that is there.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table, or the answer of a query, as a HATS collection, which LSDB opens and `qserv ingest` loads."""
    from export.collection import asked_for, export  # noqa: PLC0415 (heavy, not needed for --help)
    from export.options import ExportOptions  # noqa: PLC0415

    if (ra is None) != (dec is None):
        msg = "--ra and --dec are given both or not at all"
        raise typer.BadParameter(msg)
    position = (ra, dec) if ra is not None and dec is not None else None
    options = ExportOptions(margin, partition_rows, partition_mib << 20, overwrite)
    named = name or re.sub(r"\W+", "_", directory.absolute().name)
    with open_czar(load_settings(home=home)) as czar, _Bars(quiet=as_json) as bars:
        asked = asked_for(czar, statement_text(what), dialect=dialect.value, name=named, position=position)
        done = export(czar, asked, directory, options, bars.show)
    if as_json:
        print_json({"directory": str(directory), **asdict(done)})
        return
    lost = f", {done.without_position:,} of them without a position, in a file of their own" if done.without_position else ""
    console.print(f"{done.rows:,} rows{lost}", soft_wrap=True)
    margins = f", {done.margin_rows:,} rows in their margins" if margin else ""
    console.print(f"{done.partitions:,} partitions{margins}", soft_wrap=True)
    console.print(f'LSDB: lsdb.open_catalog("{directory}")', markup=False, soft_wrap=True)
    load = f"qserv ingest {directory / done.schema_file} {done.table}={directory}"
    console.print(f"to load it again: {load}", markup=False, soft_wrap=True)


class _Bars:
    """One bar for each stage, on stderr, so that what is printed can be read by a program."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), disable=quiet)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._bars.stop()

    def show(self, stage: str, done: int, total: int | None) -> None:
        """Show how far a stage is."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

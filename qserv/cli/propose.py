"""``qserv propose``."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from qserv.cli.ingest import FilesArgument, given_files
from qserv.cli.options import JsonOption
from qserv.cli.output import print_json, print_table
from qserv.errors import SchemaError


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    name: Annotated[str, typer.Argument(help="Name of the database.", show_default=False)],
    files: FilesArgument,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each table to look at.")] = 100_000,
    directory: Annotated[Path, typer.Option(help="Where NAME.yaml and NAME.partition.yaml are written.")] = Path(),
    delimiter: Annotated[
        str | None, typer.Option(help="Of CSV files; default: a comma, a tab for .tsv.", show_default=False)
    ] = None,
    null: Annotated[list[str] | None, typer.Option(help="Text of CSV files that is NULL.", show_default="an empty one")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at files and write a schema for them, to be corrected and given to `qserv ingest`."""
    from ingest.formats.source import ReadOptions  # noqa: PLC0415 (heavy, not needed for --help)
    from ingest.locations import located  # noqa: PLC0415
    from ingest.proposal import proposed_tables  # noqa: PLC0415
    from ingest.proposed_text import felis_text, partition_text  # noqa: PLC0415
    from schema.felis import read_database  # noqa: PLC0415
    from schema.partitioning import partition_path  # noqa: PLC0415

    felis = directory / f"{name}.yaml"
    there = [path for path in (felis, partition_path(felis)) if path.exists()]
    if there and not overwrite:
        msg = f"{there[0]} is there already; --overwrite replaces it, another NAME or --directory writes beside it"
        raise SchemaError(msg)
    reading = ReadOptions(delimiter=delimiter, null_texts=tuple(null) if null is not None else ("",))
    found = {table: [each for word in words for each in located(word)] for table, words in given_files(files).items()}
    tables = proposed_tables(found, reading, rows=rows)
    texts = {felis.name: felis_text(name, tables), partition_path(felis).name: partition_text(name, tables)}
    with tempfile.TemporaryDirectory() as aside:  # nothing is left where the names are none, say
        _write(texts, Path(aside))
        try:
            read_database(Path(aside, felis.name))
        except SchemaError as error:
            raise SchemaError(str(error).replace(f"{aside}/", "")) from error
    directory.mkdir(parents=True, exist_ok=True)
    _write(texts, directory)
    if as_json:
        print_json(
            {"felis": str(felis), "tables": [{"table": each.name, "role": each.role, "notes": each.notes} for each in tables]}
        )
        return
    print_table(
        ("table", "role", "key", "position", "columns", "rows seen"),
        [
            (
                each.name,
                each.role.value,
                each.key or "",
                " ".join(each.position or ()),
                str(len(each.columns)),
                f"{each.sampled:,}",
            )
            for each in tables
        ],
    )
    for each in tables:
        for note in each.notes:
            typer.echo(f"{each.name}: {note}")
        for source, reason in each.left_out.items():
            typer.echo(f"{each.name}: {source} is left out: {reason}")
    typer.echo(f"Look at {felis} and {partition_path(felis)}, then: qserv ingest {felis} {' '.join(files)}")


def _write(texts: Mapping[str, str], directory: Path) -> None:
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")

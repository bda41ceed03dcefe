"""``qserv result``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from qserv.cli.asking import id_named, open_czar
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.sql import SHOWN_ROWS, show_answer
from qserv.errors import QservError, QueryValueError

if TYPE_CHECKING:
    import pyarrow as pa

    from czar.service.client import Rows


def command(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of a job, or as much of it as is its own.")],
    output: Annotated[
        Path | None, typer.Option(help="A file to write: .parquet, .arrow (IPC file) or .csv.", show_default=False)
    ] = None,
    max_rows: Annotated[int, typer.Option(min=0, help="Rows to show at the most; a file gets all of them.")] = SHOWN_ROWS,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the result of a job that has ended, or write it to a file."""
    with open_czar(load_settings(home=home)) as czar:
        found = id_named(name, [job.job_id for job in czar.jobs()])
        with czar.result(found) as rows:
            if output is None:
                show_answer(_first(rows, max_rows + 1), max_rows, as_json=as_json)
                return
            written = _written(rows, output)
    if as_json:
        print_json({"file": str(output), "rows": written})
    else:
        console.print(f"{written:,} rows in {output}", markup=False, soft_wrap=True)


def _first(rows: "Rows", count: int) -> "pa.Table":
    """Return the first rows of a result; the rest is not fetched."""
    import pyarrow as pa  # noqa: PLC0415 (heavy, not needed for --help)

    held: list[pa.RecordBatch] = []
    for batch in rows:
        held.append(batch)
        count -= batch.num_rows
        if count <= 0:
            break
    return pa.Table.from_batches(held, rows.schema)


def _written(rows: "Rows", path: Path) -> int:
    """Write a result to a file, batch by batch; a file that cannot be finished is removed."""
    writer_of = _writer(path)
    count = 0
    try:
        with writer_of(str(path), rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
                count += batch.num_rows
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            msg = f"{path} cannot be written: {error.strerror or error}"
            raise QservError(msg) from error
        raise
    return count


class CsvWriter:
    """Writes CSV, arrays as texts of PostgreSQL's form."""

    def __init__(self, path: str, schema: "pa.Schema") -> None:
        from pyarrow import csv  # noqa: PLC0415 (heavy, not needed for --help)

        self._writer = csv.CSVWriter(path, _flat(schema.empty_table()).schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._writer.close()

    def write_batch(self, batch: "pa.RecordBatch") -> None:
        """Write some rows."""
        import pyarrow as pa  # noqa: PLC0415 (as above)

        self._writer.write_table(_flat(pa.Table.from_batches([batch])))


def _flat(table: "pa.Table") -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415 (as above)

    from qserv.cli.showing import with_texts  # noqa: PLC0415 (as above)

    return with_texts(table, lambda values: values.cast(pa.large_string()))


def _writer(path: Path) -> "Callable[..., pa.ipc.RecordBatchFileWriter | CsvWriter]":
    """Return what writes the format that a file's name tells.

    Raises
    ------
    QueryValueError
        It tells none.
    """
    import pyarrow as pa  # noqa: PLC0415 (heavy, not needed for --help)
    from pyarrow import parquet  # noqa: PLC0415

    writers: dict[str, Callable[..., pa.ipc.RecordBatchFileWriter | CsvWriter]] = {
        ".parquet": parquet.ParquetWriter,
        ".arrow": pa.ipc.new_file,
        ".csv": CsvWriter,
    }
    if path.suffix not in writers:
        msg = f"{path} names no format: end it with {', '.join(writers)}"
        raise QueryValueError(msg)
    return writers[path.suffix]

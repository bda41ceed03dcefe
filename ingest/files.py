"""Files of rows: Parquet and CSV, read in batches, so that memory is bounded whatever the file's size."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from qserv.errors import BadFileError

BATCH_BYTES = 16 * 1024 * 1024
"""Aim for the size of a batch: large enough that the cost a batch does not count, small beside the memory of a load."""

CELL_BYTES = 8
"""Size of a value, to turn `BATCH_BYTES` into rows before any is read; most columns are numbers."""

MAX_BATCH_ROWS = 131_072
MIN_BATCH_ROWS = 1_024

READ_AHEAD_BYTES = 1024 * 1024
"""Of each column of a Parquet row group. Without it a row group is read whole, and some writers put a whole file in one."""

CSV_BLOCK_BYTES = 8 * 1024 * 1024
"""Text parsed at a time; no row may be longer."""

PARQUET_MAGIC = b"PAR1"


class SourceFile(Protocol):
    """A file of rows with named columns."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in its order."""

    @property
    def row_count(self) -> int | None:
        """Number of its rows; None where only reading it to its end can tell."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield its rows, with these columns only, in its order.

        Raises
        ------
        BadFileError
            It is damaged or cut off.
        """


def open_file(path: Path, delimiter: str | None = None) -> SourceFile:
    """Open a Parquet or CSV file.

    Parameters
    ----------
    path
        A CSV file ends in ``.csv``, ``.tsv`` or ``.txt``, before an optional ``.gz``; a Parquet file is known by its first bytes.
    delimiter
        Of a CSV file; unless given, a tab for ``.tsv`` and a comma for the others.

    Raises
    ------
    BadFileError
        It is not there, or is neither of the two, or is damaged or cut off.
    """
    with _explained(path):
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
        if magic == PARQUET_MAGIC or path.suffix in {".parquet", ".pq"}:
            return ParquetFile.open(path)
        kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
        if kind in {".csv", ".tsv", ".txt"}:
            return CsvFile.open(path, delimiter or ("\t" if kind == ".tsv" else ","))
    msg = f"{path} is neither Parquet nor CSV; CSV files are known by the ending .csv, .tsv or .txt, with or without .gz behind it"
    raise BadFileError(msg)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file."""

    path: Path
    columns: tuple[str, ...]
    row_count: int | None

    @classmethod
    def open(cls, path: Path) -> "ParquetFile":
        """Read the file's footer."""
        with pq.ParquetFile(path) as file:
            return cls(path, tuple(file.schema_arrow.names), file.metadata.num_rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `SourceFile.batches`."""
        rows = min(max(BATCH_BYTES // (CELL_BYTES * max(len(columns), 1)), MIN_BATCH_ROWS), MAX_BATCH_ROWS)
        with _explained(self.path), pq.ParquetFile(self.path, pre_buffer=False, buffer_size=READ_AHEAD_BYTES) as file:
            yield from file.iter_batches(rows, columns=list(columns))


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with a header line, in UTF-8. An empty text without quotes is NULL, one in quotes is an empty text."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    row_count: int | None = None

    @classmethod
    def open(cls, path: Path, delimiter: str) -> "CsvFile":
        """Read the file's header."""
        with _open_bytes(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            names = next(csv.reader(text, delimiter=delimiter), [])
        if not names:
            msg = f"{path} is empty: a CSV file begins with a line of column names"
            raise BadFileError(msg)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"{path} has several columns of the name {twice[0]!r}; give each a name of its own"
            raise BadFileError(msg)
        return cls(path, tuple(names), delimiter)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows, every value as text; see `SourceFile.batches`."""
        with _explained(self.path), _open_bytes(self.path) as file:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    # In a file of one column an empty line is a row whose value is NULL.
                    ignore_empty_lines=len(self.columns) > 1,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()),
                    include_columns=list(columns),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            yield from reader


def _open_bytes(path: Path) -> IO[bytes]:
    # Python's gzip tells a file that was cut off; Arrow's decompression ends silently with what is there.
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the readers raise into one error that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        msg = f"{path} does not exist"
        raise BadFileError(msg) from error
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{path} cannot be read: {reason}; it is damaged, cut off, or of another format: get or write it again"
        raise BadFileError(msg) from error

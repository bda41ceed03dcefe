"""What every reader is, and what they have in common."""

import csv
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, Self

import pyarrow as pa

from ingest.locations import Location, UnansweredError
from qserv.errors import BadFileError, RemoteFileError

BATCH_BYTES: Final = 32 * 1024 * 1024
"""Aim for the size of a batch: large enough that the cost a batch does not count, small beside the memory of a load. In batches of
half the size, it takes 0.8 rather than 0.5 s to find the chunks and overlap of 1,000,000 rows of 65 columns."""

CELL_BYTES: Final = 8
"""Size of a value, to turn `BATCH_BYTES` into rows before any is read; most columns are numbers."""

MAX_BATCH_ROWS: Final = 131_072
MIN_BATCH_ROWS: Final = 1_024

MOST_BITS: Final = 63
"""Of a column of bits that becomes an integer."""

MOST_COLUMNS: Final = 10_000
"""Of a table, elements of arrays each counted: PostgreSQL has at most 1,600, and a file may promise anything."""

MOST_ROW_BYTES: Final = 1 << 17
"""Of a row: a batch has a thousand rows at the least."""

MOST_VALUE_BYTES: Final = 1 << 24
"""Of a value whose length differs from row to row, and of all values of such a row."""


class Format(StrEnum):
    """Formats of files of rows."""

    PARQUET = "parquet"
    CSV = "csv"
    FITS = "fits"
    ARROW = "arrow"
    VOTABLE = "votable"


@dataclass(frozen=True)
class ReadOptions:
    """How files are read that do not say it themselves.

    Attributes
    ----------
    format
        Of the files; None to recognise it by their first bytes, and CSV by the ending.
    delimiter
        Of CSV; None for a tab in files that end in ``.tsv``, and a comma in others.
    quote
        What may stand around a value of CSV; None for nothing.
    null_texts
        Values of CSV without quotes that are NULL.
    encoding
        Of CSV, by Python's name.
    header
        Whether CSV begins with a line of names; else the columns are the table's, in its order.
    ignore_units
        Take values as they are, whatever unit a file says.
    """

    format: Format | None = None
    delimiter: str | None = None
    quote: str | None = '"'
    null_texts: tuple[str, ...] = ("",)
    encoding: str = "utf-8"
    header: bool = True
    ignore_units: bool = False


DEFAULT: Final = ReadOptions()


class SourceFile(Protocol):
    """A file of rows with named columns."""

    @property
    def path(self) -> Location:
        """Where it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in its order."""

    @property
    def units(self) -> Mapping[str, str]:
        """Units of those columns for which it says one, as it writes them."""

    @property
    def ucds(self) -> Mapping[str, str]:
        """UCDs of those columns for which it says one."""

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Descriptions of those columns for which it has one."""

    @property
    def row_count(self) -> int | None:
        """Number of its rows; None where only reading it to its end can tell."""

    @property
    def first_row(self) -> int:
        """Number of its first row: 1, but of a part of a file."""

    def parts(self, rows: int) -> Sequence["SourceFile"]:
        """Return parts that can be read each by itself, of so many rows or somewhat more: all of it, if there are none."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield its rows, with these columns only, in its order.

        Raises
        ------
        BadFileError
            It is damaged or cut off.
        """


class Undivided:
    """A file that is read from its begin to its end."""

    @property
    def first_row(self) -> int:
        """Number of its first row."""
        return 1

    def parts(self, _rows: int) -> Sequence[Self]:
        """Return all of it."""
        return (self,)


def rows_a_batch(row_bytes: int) -> int:
    """Return how many rows of a size a batch has."""
    return min(max(BATCH_BYTES // max(row_bytes, 1), MIN_BATCH_ROWS), MAX_BATCH_ROWS)


def check_names(path: Location, names: Sequence[str]) -> None:
    """Refuse a name that is there twice.

    Raises
    ------
    BadFileError
        The name is in the message.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{path} has several columns of the name {twice[0]!r}; give each a name of its own"
        raise BadFileError(msg)


@contextmanager
def explained(path: Location) -> Iterator[None]:
    """Turn what the readers raise into one error that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        msg = f"{path} does not exist"
        raise BadFileError(msg) from error
    except UnansweredError as error:
        msg = f"{path} cannot be read: {error}; try again when it answers"
        raise RemoteFileError(msg) from error
    except (OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError, csv.Error, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{path} cannot be read: {reason}; it is damaged, cut off, or of another format: get or write it again"
        raise BadFileError(msg) from error

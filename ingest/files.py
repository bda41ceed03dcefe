"""Files of rows: their format is found out by their first bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from ingest.formats.arrow import FILE_MAGIC, STREAM_MAGIC, ArrowFile
from ingest.formats.compression import ENDINGS, open_bytes
from ingest.formats.fits import MAGIC as FITS_MAGIC
from ingest.formats.fits import FitsFile
from ingest.formats.parquet import ParquetFile
from ingest.formats.source import DEFAULT, Format, ReadOptions, SourceFile, explained
from ingest.formats.text import CsvFile
from ingest.formats.votable import VotableFile, looks_like_votable
from ingest.locations import Location, identity
from qserv.errors import BadFileError

PARQUET_MAGIC: Final = b"PAR1"

BEGIN_BYTES: Final = 256
"""Of a file, in which its format is looked for."""

_MAGIC: Final = {
    PARQUET_MAGIC: Format.PARQUET,
    FITS_MAGIC: Format.FITS,
    FILE_MAGIC: Format.ARROW,
    STREAM_MAGIC: Format.ARROW,
}
_ENDINGS: Final = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.CSV,
    ".fits": Format.FITS,
    ".fit": Format.FITS,
    ".arrow": Format.ARROW,
    ".arrows": Format.ARROW,
    ".feather": Format.ARROW,
    ".vot": Format.VOTABLE,
    ".votable": Format.VOTABLE,
    ".xml": Format.VOTABLE,
}


@dataclass(frozen=True)
class UnchangedFile:
    """A file that must be the same one from when it is opened until its last row is read."""

    file: SourceFile
    known: tuple[object, ...]
    """Its `identity` before it was opened."""

    @property
    def path(self) -> Location:
        """Where it is."""
        return self.file.path

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in its order."""
        return self.file.columns

    @property
    def units(self) -> Mapping[str, str]:
        """Units of those columns for which it says one."""
        return self.file.units

    @property
    def ucds(self) -> Mapping[str, str]:
        """UCDs of those columns for which it says one."""
        return self.file.ucds

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Descriptions of those columns for which it has one."""
        return self.file.descriptions

    @property
    def row_count(self) -> int | None:
        """Number of its rows; None where only reading it to its end can tell."""
        return self.file.row_count

    @property
    def first_row(self) -> int:
        """Number of its first row: 1, but of a part of a file."""
        return self.file.first_row

    def parts(self, rows: int) -> list["UnchangedFile"]:
        """Return parts that can be read each by itself; see `ingest.formats.source.SourceFile.parts`."""
        return [replace(self, file=part) for part in self.file.parts(rows)]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`.

        Raises
        ------
        BadFileError
            It has changed, too.
        """
        self._check()
        yield from self.file.batches(columns)
        self._check()

    def _check(self) -> None:
        with explained(self.path):
            now = identity(self.path)
        if now != self.known:
            msg = f"{self.path} was changed while it was loaded; load it again, once it is whole"
            raise BadFileError(msg)


def open_file(path: Location, options: ReadOptions = DEFAULT, names: Sequence[str] = ()) -> SourceFile:
    """Open a file of rows, in whatever format, be it compressed with gzip, bzip2, zstd or xz.

    Parameters
    ----------
    path
        CSV is known by its ending, ``.csv``, ``.tsv`` or ``.txt``, before one of compression; the others by their first bytes.
    names
        Columns of CSV without a header.

    Raises
    ------
    BadFileError
        It is not there, or is of no known format, or is damaged or cut off.
    """
    with explained(path):
        known = identity(path)
    with explained(path), open_bytes(path) as file:
        begin = file.read(BEGIN_BYTES)
    ending = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() not in ENDINGS), "")
    by_magic = next((found for magic, found in _MAGIC.items() if begin.startswith(magic)), None)
    opened: SourceFile
    if by_magic is None and looks_like_votable(begin):
        by_magic = Format.VOTABLE
    match options.format or by_magic or _ENDINGS.get(ending.lower()):
        case Format.PARQUET:
            opened = ParquetFile.open(path)
        case Format.FITS:
            opened = FitsFile.open(path)
        case Format.ARROW:
            opened = ArrowFile.open(path, is_stream=not begin.startswith(FILE_MAGIC))
        case Format.VOTABLE:
            opened = VotableFile.open(path)
        case Format.CSV:
            opened = CsvFile.open(path, options, names)
        case None:
            raise BadFileError(_unknown(path))
    return UnchangedFile(opened, known)


def _unknown(path: Location) -> str:
    return (
        f"{path} is none of {', '.join(Format)}; CSV files are known by the ending .csv, .tsv or .txt, before one of compression:"
        f" give the format if it has another one"
    )

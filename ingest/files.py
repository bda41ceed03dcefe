"""Files of rows: their format is found out by their first bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ingest.formats.arrow import FILE_MAGIC, STREAM_MAGIC, ArrowFile
from ingest.formats.compression import ENDINGS, open_bytes
from ingest.formats.fits import MAGIC as FITS_MAGIC
from ingest.formats.fits import FitsFile
from ingest.formats.parquet import ParquetFile
from ingest.formats.source import DEFAULT, Format, ReadOptions, SourceFile, explained
from ingest.formats.text import CsvFile
from qserv.errors import BadFileError

PARQUET_MAGIC: Final = b"PAR1"

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
}


def open_file(path: Path, options: ReadOptions = DEFAULT, names: Sequence[str] = ()) -> SourceFile:
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
    with explained(path), open_bytes(path) as file:
        begin = file.read(max(map(len, _MAGIC)))
    ending = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() not in ENDINGS), "")
    by_magic = next((found for magic, found in _MAGIC.items() if begin.startswith(magic)), None)
    match options.format or by_magic or _ENDINGS.get(ending.lower()):
        case Format.PARQUET:
            return ParquetFile.open(path)
        case Format.FITS:
            return FitsFile.open(path)
        case Format.ARROW:
            return ArrowFile.open(path, is_stream=not begin.startswith(FILE_MAGIC))
        case Format.CSV:
            return CsvFile.open(path, options, names)
    msg = (
        f"{path} is none of {', '.join(Format)}; CSV files are known by the ending .csv, .tsv or .txt, before one of compression:"
        f" give the format if it has another one"
    )
    raise BadFileError(msg)

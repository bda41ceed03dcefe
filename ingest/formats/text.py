"""CSV, and its kin with other delimiters."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

import pyarrow as pa
import pyarrow.csv

from ingest.formats.compression import open_bytes
from ingest.formats.source import ReadOptions, Undivided, check_names, explained
from ingest.locations import Location
from qserv.errors import BadFileError

BLOCK_BYTES: Final = 1024 * 1024
"""Text parsed at a time. Blocks of 8 MiB, in threads, take two and a half times as long: they do not fit in a processor's cache."""

LONGEST_ROW_BYTES: Final = 8 * 1024 * 1024
"""A file with a row that is longer than a block is parsed in blocks of this size."""

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Values of a batch: what is done for each batch, of whatever size, should not be done for each block."""

STRADDLES: Final = "straddling object"
"""Words of Arrow's error about a row that is longer than a block."""

NO_NAMES: Final = "Empty CSV file or block"
"""About a line of names that is longer, and about a file without any."""


@dataclass(frozen=True)
class CsvFile(Undivided):
    """A CSV file. A NULL text without quotes is NULL, one in quotes is that text."""

    path: Location
    columns: tuple[str, ...]
    options: ReadOptions
    delimiter: str
    row_count: int | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    ucds: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Location, options: ReadOptions, names: Sequence[str]) -> "CsvFile":
        """Read the file's header; one without has columns of these names, as many as its first row has."""
        plain = next((suffix for suffix in reversed(path.suffixes) if suffix in {".csv", ".tsv", ".txt"}), "")
        delimiter = options.delimiter or ("\t" if plain == ".tsv" else ",")
        encoding = "utf-8-sig" if options.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else options.encoding
        with explained(path), open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            if options.quote is None:
                found = next(csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
            else:
                found = next(csv.reader(text, delimiter=delimiter, quotechar=options.quote), [])
        if not options.header:
            return cls(path, tuple(names[: len(found) or None]), options, delimiter)
        if not found:
            msg = f"{path} is empty: a CSV file begins with a line of column names"
            raise BadFileError(msg)
        check_names(path, found)
        return cls(path, tuple(found), options, delimiter)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows, every value as text; see `ingest.formats.source.SourceFile.batches`."""
        done, has_long_rows = 0, False
        with explained(self.path):
            try:
                for batch in _together(self._blocks(columns, BLOCK_BYTES)):
                    done += batch.num_rows
                    yield batch
            except pa.ArrowInvalid as error:
                has_long_rows = any(words in str(error) for words in (STRADDLES, NO_NAMES))
                if not has_long_rows:
                    raise
            if has_long_rows:
                yield from self._in_long_blocks(columns, done)

    def _in_long_blocks(self, columns: Sequence[str], done: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows behind those that are done."""
        try:
            for batch in _together(self._blocks(columns, LONGEST_ROW_BYTES)):
                known = min(done, batch.num_rows)
                done -= known
                if known < batch.num_rows:
                    yield batch.slice(known)
        except pa.ArrowInvalid as error:
            if STRADDLES not in str(error):
                raise
            msg = f"a row is longer than {LONGEST_ROW_BYTES // 2**20} MiB, or a quote does not end"
            raise ValueError(msg) from error

    def _blocks(self, columns: Sequence[str], block_bytes: int) -> Iterator[pa.RecordBatch]:
        with open_bytes(self.path) as file:
            names = None if self.options.header else list(self.columns)
            yield from pyarrow.csv.open_csv(
                pa.PythonFile(_WholeLineEnds(file), mode="r"),
                read_options=pyarrow.csv.ReadOptions(
                    block_size=block_bytes, column_names=names, encoding=self.options.encoding, use_threads=False
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char=self.options.quote or False,
                    newlines_in_values=self.options.quote is not None,
                    # In a file of one column an empty line is a row whose value is NULL.
                    ignore_empty_lines=len(self.columns) > 1,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()),
                    include_columns=list(columns),
                    null_values=list(self.options.null_texts),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )


class _WholeLineEnds:
    """A file that is read in pieces none of which but the last ends between CR and LF.

    Arrow leaves out an LF at the beginning of a block behind a CR, also within quotes, where it is of the value.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held = file, b""

    def read(self, size: int) -> bytes:
        """Return some of the next bytes; none at the end."""
        piece = self._held + self._file.read(size - len(self._held))
        self._held = b""
        if len(piece) > 1 and piece.endswith(b"\r"):
            piece, self._held = piece[:-1], b"\r"
        return piece

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""


def _together(blocks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield what several blocks hold as one batch."""
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for block in blocks:
        held.append(block)
        held_bytes += block.nbytes
        if held_bytes >= BATCH_BYTES:
            yield pa.concat_batches(held)
            held, held_bytes = [], 0
    if held:
        yield pa.concat_batches(held)

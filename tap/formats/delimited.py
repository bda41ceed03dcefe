"""Comma- and tab-separated values (RFC 4180; the media type text/tab-separated-values), built by column."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import Field
from tap.formats.tabledata import joined_rows
from tap.formats.text import as_text


def csv_cells(column: pa.Array) -> pa.Array:
    """Return a column as cells of CSV: NULL is empty; texts and arrays that hold a quote, comma or line end, or are empty, stand in
    quotes.
    """
    texts = as_text(column)
    if not _is_text(column.type):
        return texts
    quoted = pc.or_(pc.match_substring_regex(texts, '[",\r\n]'), pc.equal(texts, ""))
    if not pc.any(quoted).as_py():
        return texts
    quote = pa.scalar('"', pa.large_string())
    inner = pc.replace_substring(texts, '"', '""')
    return pc.if_else(quoted, pc.binary_join_element_wise(quote, inner, quote, pa.scalar("", pa.large_string())), texts)


def tsv_cells(column: pa.Array) -> pa.Array:
    """Return a column as cells of TSV, which knows no quotes: tabs and line ends within texts become blanks."""
    texts = as_text(column)
    return pc.replace_substring_regex(texts, "[\t\r\n]", " ") if _is_text(column.type) else texts


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_list(kind)
    )


class DelimitedEncoder(ABC):
    """Writes a line of names and a line for each row."""

    tells_errors = False
    delimiter: ClassVar[str]
    line_end: ClassVar[str]

    def __init__(self, fields: Sequence[Field], facts: Facts) -> None:  # noqa: ARG002 (these formats have no place for facts)
        self._fields = tuple(fields)

    @abstractmethod
    def cells(self, column: pa.Array) -> pa.Array:
        """Return a column as cells."""

    def _lines(self, columns: Sequence[pa.Array]) -> bytes:
        return joined_rows([self.cells(column) for column in columns], "", self.delimiter, self.line_end)

    def head(self) -> bytes:
        """Return the line of names."""
        return self._lines([pa.array([field.name]) for field in self._fields])

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch."""
        return self._lines(batch.columns) if batch.num_rows else b""

    def tail(self, outcome: Outcome) -> bytes:  # noqa: ARG002 (these formats have no place for it)
        """Return nothing."""
        return b""


class CsvEncoder(DelimitedEncoder):
    """Writes CSV with a header."""

    delimiter = ","
    line_end = "\r\n"

    def cells(self, column: pa.Array) -> pa.Array:
        """Return a column as cells."""
        return csv_cells(column)


class TsvEncoder(DelimitedEncoder):
    """Writes TSV with a header."""

    delimiter = "\t"
    line_end = "\n"

    def cells(self, column: pa.Array) -> pa.Array:
        """Return a column as cells."""
        return tsv_cells(column)

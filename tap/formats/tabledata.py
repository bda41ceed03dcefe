"""VOTable TABLEDATA (VOTable 1.4, section 5.1): rows as XML, built by column."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tap.formats.arrays import ArrayWatch, array_cells, is_array
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import Field
from tap.formats.text import as_text
from tap.formats.unicode_text import AsciiWatch
from tap.formats.votable import document_head, document_tail

ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
"""What XML reserves (the ampersand first), and the carriage return, which a parser would turn into a line feed."""

ILLEGAL = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
"""Characters that XML 1.0 cannot carry in any way (section 2.2)."""


def cells(column: pa.Array, field: Field) -> pa.Array:
    """Return a column as the text of its cells; NULL is an empty cell (section 5.1)."""
    if is_array(column.type):
        return array_cells(column, field)
    is_bytes = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    texts = byte_numbers(column) if is_bytes else as_text(column)
    if field.votable.datatype in {"char", "unicodeChar"} and field.votable.xtype != "timestamp":
        texts = escaped(texts)
    return texts


def escaped(texts: pa.Array) -> pa.Array:
    """Return texts with everything escaped that XML reserves, and without what it cannot carry."""
    if pc.any(pc.match_substring_regex(texts, r"[&<>\x00-\x1f]|\x{fffe}|\x{ffff}")).as_py():
        for character, entity in ESCAPES:
            texts = pc.replace_substring(texts, character, entity)
        texts = pc.replace_substring_regex(texts, ILLEGAL, "")
    return texts


def byte_numbers(column: pa.Array) -> pa.Array:
    """Return byte arrays as numbers with blanks between them."""
    return pa.array([None if value is None else " ".join(map(str, value)) for value in column.to_pylist()], pa.large_string())


def joined_rows(columns: Sequence[pa.Array], before: str, between: str, behind: str) -> bytes:
    """Return columns of texts as rows: ``before``, the cells with ``between`` between them, ``behind``; NULL as nothing."""
    text = pa.large_string()
    rows = pc.binary_join_element_wise(*columns, pa.scalar(between, text), null_handling="replace", null_replacement="")
    rows = pc.binary_join_element_wise(pa.scalar(before, text), rows, pa.scalar(behind, text), pa.scalar("", text))
    size = int(np.frombuffer(rows.buffers()[1], np.int64)[len(rows)])
    return rows.buffers()[2][:size].to_pybytes() if size else b""


class TabledataEncoder:
    """Writes a VOTable with TABLEDATA rows."""

    tells_errors = True

    def __init__(self, fields: Sequence[Field], facts: Facts) -> None:
        self._fields = tuple(fields)
        self._facts = facts
        self._arrays, self._ascii = ArrayWatch(self._fields), AsciiWatch(self._fields)

    def head(self) -> bytes:
        """Return the document up to the first row."""
        return document_head(self._fields, self._facts) + b"<TABLEDATA>\n"

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch."""
        if not batch.num_rows:
            return b""
        watched = self._ascii.watch(self._arrays.watch(batch.columns))
        columns = [cells(column, field) for column, field in zip(watched, self._fields, strict=True)]
        return joined_rows(columns, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")

    def tail(self, outcome: Outcome) -> bytes:
        """Return the document behind the last row."""
        return b"</TABLEDATA>" + document_tail(outcome, (*self._arrays.warnings(), *self._ascii.warnings()))

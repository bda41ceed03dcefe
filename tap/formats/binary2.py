"""VOTable BINARY2 (VOTable 1.4, section 5.4): rows as big-endian bytes, in base64.

A row is its null flags, then its values; texts carry their length. Built by column, never by row: what lies between two texts is
one NumPy structured array, whose rows Arrow joins with the texts, and the data buffer of the result is the stream of rows. Each
structured array ends with the length of the text behind it.
"""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tap.formats.arrays import ArrayWatch, array_bytes, filled_elements, is_array
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import Field
from tap.formats.text import as_text
from tap.formats.unicode_text import AsciiWatch, utf16_bytes
from tap.formats.votable import document_head, document_tail

FIXED = {
    "boolean": "u1",
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
}
"""NumPy types of the VOTable types of fixed size (section 2.1)."""

LENGTH = ">i4"
"""A text or array of variable length begins with the number of its elements."""

BASE64_GROUP_BYTES = 3
"""Base64 turns three bytes into four characters; a stream is cut between groups only."""


@dataclass(frozen=True)
class Segment:
    """Fields of fixed size that follow each other, and the field of variable size behind them, if any."""

    fixed: tuple[int, ...]
    variable: int | None
    dtype: np.dtype[np.void]


def segments_of(fields: Sequence[Field]) -> tuple[Segment, ...]:
    """Cut a row into segments; the first begins with the null flags, named ``flags``."""
    segments: list[Segment] = []
    layout: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [("flags", "u1", (flag_bytes(fields),))]
    fixed: list[int] = []
    for index, field in enumerate(fields):
        if field.votable.arraysize is None:
            layout.append((str(index), FIXED[field.votable.datatype]))
            fixed.append(index)
            continue
        layout.append(("length", LENGTH))
        segments.append(Segment(tuple(fixed), index, np.dtype(layout)))
        layout, fixed = [], []
    if layout:
        segments.append(Segment(tuple(fixed), None, np.dtype(layout)))
    return tuple(segments)


def flag_bytes(fields: Sequence[Field]) -> int:
    """Return how many bytes the null flags of a row take: one bit a field."""
    return (len(fields) + 7) // 8


def null_flags(columns: Sequence[pa.Array]) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """Return the null flags, shape (rows, bytes); the first field has the highest bit of the first byte."""
    flags = np.zeros((len(columns[0]), (len(columns) + 7) // 8), np.uint8)
    for index, column in enumerate(columns):
        if column.null_count:
            is_null = column.is_null().to_numpy(zero_copy_only=False)
            flags[:, index // 8] |= is_null.view(np.uint8) << np.uint8(7 - index % 8)
    return flags


def fixed_values(column: pa.Array, datatype: str) -> "np.ndarray[tuple[int], np.dtype[np.generic]]":
    """Return the values of a column of fixed size; those that are NULL are NaN, 0 or ``?``."""
    if datatype == "boolean":
        letters = np.where(pc.fill_null(column, fill_value=False).to_numpy(zero_copy_only=False), ord("T"), ord("F")).astype(
            np.uint8
        )
        letters[column.is_null().to_numpy(zero_copy_only=False)] = ord("?")
        return letters
    if column.null_count:
        column = column.fill_null(float("nan") if pa.types.is_floating(column.type) else 0)
    values: np.ndarray[tuple[int], np.dtype[np.generic]] = column.to_numpy()
    return values


def encode_rows(columns: Sequence[pa.Array], fields: Sequence[Field], segments: Sequence[Segment]) -> memoryview:
    """Return rows, given by their columns, as the bytes of a BINARY2 stream."""
    count = len(columns[0])
    parts: list[pa.Array] = []
    for segment in segments:
        variable, lengths = None, None
        if segment.variable is not None:
            variable, lengths = variable_values(columns[segment.variable], fields[segment.variable])
        records = np.empty(count, segment.dtype)
        if segment is segments[0]:
            records["flags"] = null_flags(columns)
        for index in segment.fixed:
            records[str(index)] = fixed_values(columns[index], fields[index].votable.datatype)
        if lengths is not None:
            records["length"] = lengths
        if len(segments) == 1 and variable is None:
            return memoryview(pa.py_buffer(records))
        width = segment.dtype.itemsize
        block = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(records)])
        parts.append(block.cast(pa.large_binary()))
        if variable is not None:
            parts.append(variable)
    rows = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
    size = int(np.frombuffer(rows.buffers()[1], np.int64)[count])
    return memoryview(rows.buffers()[2])[:size] if size else memoryview(b"")


def variable_values(column: pa.Array, field: Field) -> tuple[pa.Array, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """Return the bytes of texts or arrays, NULL as none, and the number of elements of each."""
    if is_array(column.type):
        datatype = field.votable.datatype
        elements = fixed_values(filled_elements(column, field), datatype).astype(FIXED[datatype])
        values = array_bytes(elements, column)
        return values, pc.binary_length(values).to_numpy() // elements.itemsize
    if field.votable.datatype == "unsignedByte":
        values, width = column.cast(pa.large_binary()), 1
    elif field.votable.datatype == "unicodeChar":
        values, width = utf16_bytes(as_text(column)), 2
    else:
        values, width = as_text(column).cast(pa.large_binary()), 1
    values = values.fill_null(b"") if values.null_count else values
    lengths = pc.binary_length(values).to_numpy()
    return values, lengths // width if width > 1 else lengths


class Base64Stream:
    """Turns bytes that come in pieces into one stream of base64."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: memoryview) -> bytes:
        """Return the base64 of all whole groups so far."""
        head = b""
        if self._rest:
            missing = BASE64_GROUP_BYTES - len(self._rest)
            group = self._rest + bytes(data[:missing])
            data = data[missing:]
            if len(group) < BASE64_GROUP_BYTES:
                self._rest = group
                return b""
            head = binascii.b2a_base64(group, newline=False)
        whole = len(data) - len(data) % BASE64_GROUP_BYTES
        self._rest = bytes(data[whole:])
        body = binascii.b2a_base64(data[:whole], newline=False)
        return head + body if head else body

    def finish(self) -> bytes:
        """Return the base64 of what is left."""
        return binascii.b2a_base64(self._rest, newline=False)


class Binary2Encoder:
    """Writes a VOTable with BINARY2 rows."""

    tells_errors = True

    def __init__(self, fields: Sequence[Field], facts: Facts) -> None:
        self._fields = tuple(fields)
        self._facts = facts
        self._segments = segments_of(self._fields)
        self._base64 = Base64Stream()
        self._arrays, self._ascii = ArrayWatch(self._fields), AsciiWatch(self._fields)

    def head(self) -> bytes:
        """Return the document up to the first row."""
        return document_head(self._fields, self._facts) + b'<BINARY2><STREAM encoding="base64">\n'

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch."""
        if not batch.num_rows:
            return b""
        columns = self._ascii.watch(self._arrays.watch(batch.columns))
        return self._base64.feed(encode_rows(columns, self._fields, self._segments))

    def tail(self, outcome: Outcome) -> bytes:
        """Return the document behind the last row."""
        return (
            self._base64.finish()
            + b"\n</STREAM></BINARY2>"
            + document_tail(outcome, (*self._arrays.warnings(), *self._ascii.warnings()))
        )

"""Texts as the two kinds of characters that VOTable has: ASCII (``char``) and UTF-16 (``unicodeChar``)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tap.formats.fields import Field

FOUR_BYTES = 0xF0
"""First byte, at least, of a character that UTF-8 writes in four bytes and UTF-16 in two units."""

CONTINUES, CONTINUES_MASK = 0x80, 0xC0
"""The two highest bits of a byte that continues a character of UTF-8."""


def utf16_bytes(texts: pa.Array) -> pa.Array:
    """Return texts (``large_string``) as big-endian UTF-16 bytes (``large_binary``)."""
    size = len(texts)
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + size + 1]
    data = np.frombuffer(texts.buffers()[2], np.uint8) if texts.buffers()[2] else np.zeros(0, np.uint8)
    data = data[offsets[0] : offsets[-1]]
    units = ((data & CONTINUES_MASK) != CONTINUES).astype(np.int64) + (data >= FOUR_BYTES)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(units)])[offsets - offsets[0]] * 2
    encoded = data.tobytes().decode("utf-8").encode("utf-16-be")
    values = pa.Array.from_buffers(pa.large_binary(), size, [None, pa.py_buffer(ends), pa.py_buffer(encoded)])
    return pc.if_else(texts.is_valid(), values, pa.scalar(None, pa.large_binary())) if texts.null_count else values


class AsciiWatch:
    """Keeps ``char`` columns within ASCII: what is beyond becomes ``?``, and a warning names the column.

    VOTable 1.4 (section 2.1) has no other place for such a character, and readers fail at it. Whether there are any is not known
    before the last row, so that a column of the kind ``unicode`` must be declared so to be sent as ``unicodeChar``.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._names = {index: field.name for index, field in enumerate(fields) if _is_plain_text(field)}
        self._lossy: set[int] = set()

    def watch(self, columns: list[pa.Array]) -> list[pa.Array]:
        """Return the columns of a batch, changed in place."""
        for index in self._names:
            if pc.all(pc.string_is_ascii(columns[index])).as_py() is False:
                columns[index] = pc.replace_substring_regex(columns[index], r"[^\x00-\x7F]", "?")
                self._lossy.add(index)
        return columns

    def warnings(self) -> tuple[str, ...]:
        """Say which columns lost characters."""
        names = [self._names[index] for index in sorted(self._lossy)]
        return tuple(
            f"characters of column {name} beyond ASCII are shown as '?': ask for CSV or Parquet to see them" for name in names
        )


def _is_plain_text(field: Field) -> bool:
    kind = field.arrow.value_type if pa.types.is_list(field.arrow) else field.arrow
    return field.votable.datatype == "char" and (pa.types.is_string(kind) or pa.types.is_large_string(kind))

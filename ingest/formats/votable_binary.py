"""Rows of VOTable in BINARY and BINARY2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.formats.source import MAX_BATCH_ROWS, MOST_ROW_BYTES, MOST_VALUE_BYTES, rows_a_batch
from ingest.formats.votable_values import TYPES, Field, null_number, of_field, without_empty
from ingest.locations import Location
from qserv.errors import BadFileError

PIECE_BYTES: Final = 1 << 20
"""Of rows that differ in length, cut up at a time."""

FLAGS: Final = "flags"
"""Name of what tells which values of a row are NULL, in its layout; fields have their places as names."""

_FORMS: Final = {
    "boolean": "u1",
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
    "floatComplex": ">c8",
    "doubleComplex": ">c16",
}
_BITS: Final = {"bit": 1, "char": 8, "unicodeChar": 16} | {name: 8 * np.dtype(form).itemsize for name, form in _FORMS.items()}
_LENGTH: Final = Struct(">i")

_FALSE, _TRUE, _NOTHING, _WRONG = range(4)
_BOOLEANS: Final = np.full(256, _WRONG, np.uint8)
for _letters, _meaning in ((b"Ff0", _FALSE), (b"Tt1", _TRUE), (b"\0 ?", _NOTHING)):
    _BOOLEANS[list(_letters)] = _meaning

Raw = Mapping[str, Any]
"""Of rows, by name: arrays of numpy as the file has them, and lists of bytes for texts that differ in length."""


class Stream(Protocol):
    """Bytes that are read from their begin to their end."""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""


@dataclass(frozen=True)
class _Step:
    """A part of a row: fields of fixed size, or one that says its length."""

    layout: np.dtype[Any]
    place: int = -1
    bits: int = 0
    """Of an item of the field that says their number."""


@dataclass(frozen=True)
class Layout:
    """How rows lie in a stream."""

    path: Location
    steps: tuple[_Step, ...]

    @classmethod
    def of(cls, path: Location, fields: Sequence[Field], *, with_flags: bool) -> "Layout":
        """Return the layout of rows of these fields; BINARY2 has flags."""
        row_bytes = sum(_fixed_bytes(field) for field in fields if not field.varies)
        if row_bytes > MOST_ROW_BYTES:
            msg = f"{path} has rows of {row_bytes:,} bytes, and they may have {MOST_ROW_BYTES:,}; leave columns out of it"
            raise BadFileError(msg)
        steps: list[_Step] = []
        parts: list[tuple[Any, ...]] = [(FLAGS, "u1", ((len(fields) + 7) // 8,))] if with_flags else []
        for place, field in enumerate(fields):
            if not field.varies:
                parts.append((str(place), *_fixed(field)))
                continue
            if field.axes:
                msg = f"{path}, column {field.name!r}: arrays of arrays that differ in length are only read in TABLEDATA"
                raise BadFileError(msg)
            steps += [_Step(np.dtype(parts)), _Step(np.dtype([]), place, _BITS[field.datatype])]
            parts = []
        steps.append(_Step(np.dtype(parts)))
        return cls(path, tuple(step for step in steps if step.bits or step.layout.itemsize))

    def rows(self, stream: Stream) -> Iterator[Raw]:
        """Yield the rows of a stream in batches."""
        if len(self.steps) > 1 or any(step.bits for step in self.steps):
            yield from self._cut_rows(stream)
            return
        for step in self.steps:
            size = step.layout.itemsize
            while data := stream.read(rows_a_batch(size) * size):
                if len(data) % size:
                    msg = "it ends within a row"
                    raise EOFError(msg)
                yield _by_name(np.frombuffer(data, step.layout))

    def _cut_rows(self, stream: Stream) -> Iterator[Raw]:
        left = b""
        while piece := stream.read(PIECE_BYTES):
            left += piece
            begin = 0
            while True:
                rows, end = self._cut(left, begin)
                if not rows:
                    break
                begin = end
                yield self._joined(rows)
            left = left[begin:]
        if left:
            msg = "it ends within a row"
            raise EOFError(msg)

    def _cut(self, data: bytes, begin: int) -> tuple[list[list[bytes]], int]:
        """Return the steps of whole rows in data, and where these rows end."""
        rows: list[list[bytes]] = []
        steps = [(step.layout.itemsize, step.bits) for step in self.steps]
        size, unpack = len(data), _LENGTH.unpack_from
        while len(rows) < MAX_BATCH_ROWS:
            row, at = [], begin
            for fixed, bits in steps:
                length = fixed
                if bits:
                    if at + _LENGTH.size > size:
                        return rows, begin
                    length = (unpack(data, at)[0] * bits + 7) // 8
                    at += _LENGTH.size
                    if not 0 <= length <= MOST_VALUE_BYTES - (at - begin):
                        msg = f"{self.path} has a value of {length:,} bytes, and a row may have {MOST_VALUE_BYTES:,}"
                        raise BadFileError(msg)
                row.append(data[at : at + length])
                at += length
            if at > size or at == begin:
                return rows, begin
            rows.append(row)
            begin = at
        return rows, begin

    def _joined(self, rows: list[list[bytes]]) -> Raw:
        found: dict[str, Any] = {}
        for step, values in zip(self.steps, zip(*rows, strict=True), strict=True):
            if step.bits:
                found[str(step.place)] = list(values)
            else:
                found |= _by_name(np.frombuffer(b"".join(values), step.layout))
        return found


def columns_of_bytes(field: Field, place: int, rows: Raw) -> list[pa.Array]:
    """Return the columns of a field at its place."""
    raw, flags = rows[str(place)], rows.get(FLAGS)
    mask = np.zeros(len(raw), np.bool_) if flags is None else (flags[:, place // 8] >> (7 - place % 8) & 1).astype(np.bool_)
    with of_field(field):
        if field.is_text:
            # BINARY has nothing else that is NULL.
            texts = _texts(field, raw, mask)
            return [without_empty(text) for text in texts] if flags is None else texts
        if field.datatype == "bit" and field.is_boolean:
            # It is the highest one of the byte, but for astropy, where it is another one.
            return [pa.array(raw[:, 0] != 0, mask=mask)]
        if field.datatype == "bit":
            bits = np.unpackbits(raw, axis=1)[:, : field.size].astype(np.int64)
            return [pa.array(bits @ (1 << np.arange(field.size - 1, -1, -1, dtype=np.int64)), mask=mask)]
        if field.datatype == "boolean":
            codes = _BOOLEANS[raw]
            if (codes == _WRONG).any():
                msg = f"{bytes(raw[codes == _WRONG][:1])!r} is no boolean"
                raise ValueError(msg)
            return [pa.array(column == _TRUE, mask=mask | (column == _NOTHING)) for column in codes.T]
        parts = raw.view(raw.dtype.str.replace("c16", "f8").replace("c8", "f4")) if raw.dtype.kind == "c" else raw
        null = null_number(field, TYPES[field.datatype])
        natives = (np.ascontiguousarray(column, column.dtype.newbyteorder("=")) for column in parts.T)
        return [pa.array(native, mask=mask if null is None else mask | (native == native.dtype.type(null))) for native in natives]


def _fixed_bytes(field: Field) -> int:
    """Return the size of a field of fixed size."""
    return (field.size * _BITS[field.datatype] + 7) // 8


def _fixed(field: Field) -> tuple[str, tuple[int, ...]]:
    """Return form and shape of a field of fixed size."""
    if field.is_text:
        return "u1", (field.column_count, _fixed_bytes(field) // max(field.column_count, 1))
    return (_FORMS[field.datatype], (field.size,)) if field.datatype in _FORMS else ("u1", (_fixed_bytes(field),))


def _by_name(rows: np.ndarray[Any, Any]) -> Raw:
    return {name: rows[name] for name in rows.dtype.names or ()}


def _texts(field: Field, raw: Any, mask: np.ndarray[Any, Any]) -> list[pa.Array]:  # noqa: ANN401 (an array or a list)
    """Return texts up to their first NUL; those in arrays without the blanks that fill them up."""
    found = []
    for values in [raw] if isinstance(raw, list) else [_cells(raw[:, number]) for number in range(raw.shape[1])]:
        if field.datatype == "char":
            texts = pa.array([value.partition(b"\0")[0] for value in values], pa.binary(), mask=mask).cast(pa.string())
        else:
            texts = pa.array([value.decode("utf-16-be").partition("\0")[0] for value in values], pa.string(), mask=mask)
        found.append(pc.utf8_rtrim(texts, " ") if field.shape else texts)
    return found


def _cells(rows: np.ndarray[Any, Any]) -> list[bytes]:
    """Return the bytes of each row."""
    data, size = rows.tobytes(), rows.shape[1]
    return [data[begin : begin + size] for begin in range(0, len(data), size)] if size else [b""] * len(rows)

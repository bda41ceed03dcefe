"""Fields of VOTable: the columns that they become, and their values as TABLEDATA writes them."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ingest.formats.source import MOST_BITS
from ingest.locations import Location
from qserv.errors import BadFileError

TYPES: Final = {
    "boolean": pa.bool_(),
    "bit": pa.int64(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "char": pa.string(),
    "unicodeChar": pa.string(),
    "float": pa.float32(),
    "double": pa.float64(),
    "floatComplex": pa.float32(),
    "doubleComplex": pa.float64(),
}
"""Of each datatype, what its columns hold."""

_ARRAY_SIZE: Final = re.compile(r"(\d+(?:x\d+)*)?|((?:\d+x)*)\d*\*")
_BOOLEANS: Final = pa.array(["f", "false", "0", "t", "true", "1", "?"])
_MEANINGS: Final = pa.array([False, False, False, True, True, True, None])


@dataclass(frozen=True)
class Field:
    """A FIELD.

    Attributes
    ----------
    axes
        Of its arrays, the first one runs fastest, in texts over the characters of one; without the last one if that varies.
    varies
        Whether the last axis differs from row to row.
    null
        What stands for NULL, if it is a number.
    """

    name: str
    datatype: str
    axes: tuple[int, ...]
    varies: bool
    unit: str
    ucd: str = ""
    null: str | None = None
    description: str = ""

    @classmethod
    def of(cls, path: Location, attributes: Mapping[str, str]) -> "Field":
        """Return the field of the attributes of FIELD."""
        name = attributes.get("name") or attributes.get("ID", "")
        datatype, written = attributes.get("datatype", ""), attributes.get("arraysize", "").strip()
        size = _ARRAY_SIZE.fullmatch(written)
        if not name or datatype not in TYPES or size is None:
            msg = f"{path}, FIELD {name!r}: datatype {datatype!r} and arraysize {written!r} are none of VOTable"
            raise BadFileError(msg)
        axes = tuple(int(axis) for axis in (size[1] or size[2] or "").split("x") if axis)
        unit, ucd = (attributes.get(key, "").strip() for key in ("unit", "ucd"))
        return cls(name, datatype, axes, written.endswith("*"), unit, ucd)

    def with_null(self, null: str) -> "Field":
        """Return the field, with what stands for NULL in it."""
        return replace(self, null=null.strip())

    def with_description(self, description: str) -> "Field":
        """Return the field, with what is said of it."""
        return replace(self, description=" ".join(description.split()))

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.datatype in {"char", "unicodeChar"}

    @property
    def size(self) -> int:
        """Characters, bits or numbers in a value; of one that varies, in a step of its last axis."""
        return math.prod(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of what becomes columns of its own."""
        if self.is_text:
            return self.axes[1:]
        return () if self.datatype == "bit" or self.axes == (1,) else self.axes

    @property
    def is_boolean(self) -> bool:
        """Whether its values are true or false: a single bit is, too, since astropy writes booleans so."""
        return self.datatype == "boolean" or (self.datatype == "bit" and self.size == 1)

    @property
    def parts(self) -> tuple[str, ...]:
        """Ends of the names of a number's parts."""
        return ("_real", "_imag") if self.datatype.endswith("Complex") else ("",)

    @property
    def refused(self) -> str:
        """Why it cannot be read; empty if it can."""
        if self.varies and (self.axes or not self.is_text):
            return "its arrays differ in length, for which a table has no type"
        if self.datatype == "bit" and self.size > MOST_BITS:
            return f"it has {self.size} bits, and an integer {MOST_BITS}"
        return ""

    @property
    def column_count(self) -> int:
        """Number of its columns."""
        return 1 if self.refused else math.prod(self.shape) * len(self.parts)

    @property
    def column_names(self) -> Iterator[str]:
        """Names of its columns, an array's in the order of its elements."""
        if self.refused:
            yield self.name
            return
        for indices in product(*(range(length) for length in reversed(self.shape))):
            numbers = "".join(f"_{index + 1}" for index in reversed(indices))
            yield from (f"{self.name}{numbers}{part}" for part in self.parts)


@contextmanager
def of_field(field: Field) -> Iterator[None]:
    """Say which field has a wrong value."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        msg = f"column {field.name!r}: {error}"
        raise ValueError(msg) from error


def columns_of_texts(field: Field, values: list[str]) -> list[pa.Array]:
    """Return the columns of a field, of its values in TABLEDATA."""
    with of_field(field):
        texts = pa.array(values, pa.string())
        if field.is_text:
            length = field.axes[0] if field.axes else 0
            count = math.prod(field.shape)
            if not field.shape:
                return [without_empty(texts)]
            parts = (pc.utf8_slice_codeunits(texts, place * length, (place + 1) * length) for place in range(count))
            return [without_empty(pc.utf8_rtrim(part, " ")) for part in parts]
        if field.datatype == "bit" and not field.is_boolean:
            return [_bits(field, values)]
        count = field.column_count
        if count == 1:
            return [_typed(field, without_empty(texts))]
        return _elements(field, without_empty(pc.utf8_trim_whitespace(texts)), count)


def without_empty(texts: pa.Array) -> pa.Array:
    """Return texts with NULL for empty ones."""
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def null_number(field: Field, kind: pa.DataType) -> float | None:
    """Return the number of a type that stands for NULL in a field; None if there is none."""
    if field.null is None or not (types.is_integer(kind) or types.is_floating(kind)):
        return None
    try:
        number: float = pa.scalar((_integer if types.is_integer(kind) else _real)(field.null), kind).as_py()
    except (ValueError, OverflowError):
        # No value of the type is equal to it.
        return None
    return number


def _bits(field: Field, values: list[str]) -> pa.Array:
    size, digits = field.size, ["".join(value.split()) for value in values]
    for text in digits:
        if text and (len(text) != size or text.strip("01")):
            msg = f"{text!r} is not of {size} bits"
            raise ValueError(msg)
    return pa.array([int(text, 2) if text else None for text in digits], pa.int64())


def _elements(field: Field, texts: pa.Array, count: int) -> list[pa.Array]:
    """Return the elements of arrays, whose texts are separated by white space."""
    lists = pc.utf8_split_whitespace(texts)
    wrong = pc.index(pc.equal(pc.list_value_length(lists), count), value=False).as_py()
    if wrong >= 0:
        msg = f"{texts[wrong].as_py()!r} is not of {count} values"
        raise ValueError(msg)
    values = _typed(field, pc.list_flatten(lists))
    valid = texts.is_valid().to_numpy(zero_copy_only=False)
    begins = (np.cumsum(valid) - 1) * count
    return [values.take(pa.array(begins + place, mask=~valid)) for place in range(count)]


def _typed(field: Field, texts: pa.Array) -> pa.Array:
    """Return the values that texts without white space inside stand for."""
    kind = TYPES[field.datatype]
    if field.is_boolean:
        return _booleans(texts)
    if field.null is not None:
        texts = pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), field.null), pa.scalar(None, pa.string()), texts)
    read: Callable[[str], float] = _integer if types.is_integer(kind) else _real
    try:
        # Arrow takes hexadecimals for the bits of negative numbers, too.
        is_plain = types.is_floating(kind) or not pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py()
        values = pc.cast(texts, kind) if is_plain else None
    except pa.ArrowInvalid:
        values = None
    if values is None:
        values = pa.array([read(text) if text and text.strip() else None for text in texts.to_pylist()], kind)
    null = null_number(field, kind)
    return values if null is None else pc.if_else(pc.equal(values, pa.scalar(null, kind)), pa.scalar(None, kind), values)


def _booleans(texts: pa.Array) -> pa.Array:
    folded = without_empty(pc.ascii_lower(pc.utf8_trim_whitespace(texts)))
    found = pc.index_in(folded, _BOOLEANS)
    wrong = pc.index(pc.and_(pc.is_null(found), pc.is_valid(folded)), value=True).as_py()
    if wrong >= 0:
        msg = f"{texts[wrong].as_py()!r} is no boolean"
        raise ValueError(msg)
    return _MEANINGS.take(found)


def _integer(text: str) -> int:
    """Return an integer, be it in hexadecimal."""
    return int(_number(text), 16 if "x" in text.lower() else 10)


def _real(text: str) -> float:
    return float(_number(text))


def _number(text: str) -> str:
    if "_" in text:
        msg = f"{text!r} is no number"
        raise ValueError(msg)
    return text

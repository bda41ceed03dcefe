"""FITS tables (FITS standard 4.0, section 7): the first one of a file, read row by row, so that it may be compressed.

astropy reads the headers; rows are decoded here, because astropy keeps converted columns of the whole file in memory.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits

from ingest.formats.compression import open_bytes
from ingest.formats.source import MOST_BITS, MOST_COLUMNS, MOST_ROW_BYTES, Undivided, check_names, explained, rows_a_batch
from ingest.locations import Location
from qserv.errors import BadFileError

MAGIC: Final = b"SIMPLE  ="
BLOCK_BYTES: Final = 2880
PIECE_BYTES: Final = 1 << 20

WIDEST_BYTES: Final = 8
SHIFTS: Final = frozenset({1 << 7, 1 << 15, 1 << 31})
"""Of TZERO, with which integers are written that have another sign than those of FITS."""

Lend = Callable[[Location], AbstractContextManager[IO[bytes]]]
"""Opens a file to be read from its begin to its end."""

_BINARY_FORM: Final = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(.*)")
_TEXT_FORM: Final = re.compile(r"([AIFED])(\d+)(?:\.\d+)?")
_TRUE, _NOTHING = ord("T"), 0
_SIGN: Final = 1 << 63


@dataclass(frozen=True)
class _Element:
    """A column of the file as rows have it: a value of a FITS column, or an element of its array, or a part of a complex one."""

    field: str
    """Name in the layout of a row."""
    letter: str
    place: tuple[int, ...] = ()
    """Of the element in its array, as numpy counts; empty for what is no array."""
    part: str = ""
    bits: int = 0
    null: Any = None
    scale: float | None = None
    zero: float | None = None
    refused: str = ""
    """Why it cannot be read; empty if it can."""


@dataclass(frozen=True)
class FitsFile(Undivided):
    """A FITS table.

    Elements of an array ``a`` are columns ``a_1``, ``a_2`` or ``a_1_1``, its first axis first; bits are an integer, the highest
    one first; a complex number is ``c_real`` and ``c_imag``.
    """

    path: Location
    units: Mapping[str, str]
    ucds: Mapping[str, str]
    descriptions: Mapping[str, str]
    row_count: int
    elements: Mapping[str, _Element]
    layout: np.dtype[Any]
    lend: Lend = open_bytes

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in its order."""
        return tuple(self.elements)

    @classmethod
    def open(cls, path: Location, lend: Lend = open_bytes) -> "FitsFile":
        """Read the headers up to that of the first table, of what is lent as the file."""
        with explained(path), _of_whole_header(path), lend(path) as file:
            header = _find_table(path, file)
            if header["NAXIS1"] > MOST_ROW_BYTES:
                msg = (
                    f"{path} has rows of {header['NAXIS1']:,} bytes, and they may have {MOST_ROW_BYTES:,}; leave columns out of it"
                )
                raise BadFileError(msg)
            hdu = fits.TableHDU if header["XTENSION"].strip() == "TABLE" else fits.BinTableHDU
            declared = header.copy()
            declared["NAXIS2"] = declared["PCOUNT"] = 0
            columns = hdu.fromstring(declared.tostring().encode("ascii")).columns
            check_names(path, columns.names)
            elements, layout = (_of_text if hdu is fits.TableHDU else _of_binary)(path, columns, header["NAXIS1"])
            units = {column.name: str(column.unit or "") for column in columns}
        check_names(path, [name for name, _ in elements])
        numbers = {name: place for place, name in enumerate(columns.names, 1)}
        ucds = {name: str(header.get(f"TUCD{place}", "")) for name, place in numbers.items()}
        comments = {name: str(header.comments[f"TTYPE{place}"]) for name, place in numbers.items()}

        def told(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: texts[element.field] for name, element in elements if texts[element.field]}

        return cls(path, told(units), told(ucds), told(comments), header["NAXIS2"], dict(elements), layout, lend)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`."""
        for name in columns:
            if self.elements[name].refused:
                msg = f"{self.path}, column {name!r}: {self.elements[name].refused}"
                raise BadFileError(msg)
        with explained(self.path), self.lend(self.path) as file:
            _find_table(self.path, file)
            left, most = self.row_count, rows_a_batch(self.layout.itemsize)
            while left:
                count = min(left, most)
                rows = np.frombuffer(_exactly(file, count * self.layout.itemsize), self.layout)
                yield pa.RecordBatch.from_arrays([_values(rows, self.elements[name]) for name in columns], list(columns))
                left -= count


@contextmanager
def _of_whole_header(path: Location) -> Iterator[None]:
    """Explain what astropy and we say of a header in which a card is missing, or has a value of another type."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, OverflowError, fits.VerifyError) as error:
        msg = f"{path} has a header that is not one of a FITS table: {error}; write it again"
        raise BadFileError(msg) from error


def _find_table(path: Location, file: IO[bytes]) -> fits.Header:
    """Read a file up to the rows of its first table, and return the table's header."""
    while True:
        try:
            header = fits.Header.fromfile(file)
        except EOFError as error:
            msg = f"{path} has no table: write the rows as a table extension of FITS"
            raise BadFileError(msg) from error
        if str(header.get("XTENSION", "")).strip() in {"BINTABLE", "TABLE"}:
            if header.get("ZIMAGE"):
                _skip(file, header)
                continue
            if header.get("ZTABLE"):
                msg = f"{path} holds a compressed table (ZTABLE); decompress it with funpack"
                raise BadFileError(msg)
            return header
        _skip(file, header)


def _skip(file: IO[bytes], header: fits.Header) -> None:
    """Read the data behind a header."""
    axes = [header[f"NAXIS{place}"] for place in range(1, header["NAXIS"] + 1)]
    values = int(np.prod(axes, dtype=object)) if axes else 0
    size = abs(header["BITPIX"]) // 8 * header.get("GCOUNT", 1) * (header.get("PCOUNT", 0) + values)
    left = -(-size // BLOCK_BYTES) * BLOCK_BYTES
    while left:
        left -= len(_exactly(file, min(left, PIECE_BYTES)))


def _exactly(file: IO[bytes], size: int) -> bytes:
    """Read so many bytes, in as many pieces as the file gives."""
    pieces = []
    while size:
        piece = file.read(size)
        if not piece:
            msg = "it ends before its last row"
            raise EOFError(msg)
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _of_binary(path: Location, columns: fits.ColDefs, row_bytes: int) -> tuple[list[tuple[str, _Element]], np.dtype[Any]]:
    """Return the elements of a binary table, and the layout of its rows."""
    layout = columns.dtype.newbyteorder(">")
    if layout.itemsize != row_bytes:
        msg = f"{path}: its columns take {layout.itemsize} bytes a row, and its header says {row_bytes}"
        raise BadFileError(msg)
    found: list[tuple[str, _Element]] = []
    for column in columns:
        form = _BINARY_FORM.fullmatch(column.format)
        if form is None:
            msg = f"{path}, column {column.name!r}: TFORM {column.format!r} is none of FITS"
            raise BadFileError(msg)
        repeat, letter = int(form[1] or 1), form[2]
        if len(found) + (1 if letter in "AXPQ" else repeat) > MOST_COLUMNS:
            msg = f"{path} has more than {MOST_COLUMNS:,} columns, elements of arrays counted"
            raise BadFileError(msg)
        if repeat:
            plain = _Element(column.name, letter, null=column.null, scale=column.bscale, zero=column.bzero)
            found += _elements(column, plain, repeat)
    return found, layout


def _elements(column: fits.Column, plain: _Element, repeat: int) -> Iterator[tuple[str, _Element]]:
    """Yield what is read of a column of a binary table."""
    name, letter = column.name, plain.letter
    axes = tuple(map(int, re.findall(r"\d+", column.dim or "")))
    if letter in "PQ":
        refused = f"its arrays differ in length (TFORM {column.format}), for which a table has no type"
        yield name, _Element(name, letter, refused=refused)
        return
    if letter == "X":
        refused = "" if repeat <= MOST_BITS else f"it has {repeat} bits, and an integer {MOST_BITS}"
        yield name, _Element(name, letter, bits=repeat, refused=refused)
        return
    shape = axes[1:] if letter == "A" else axes or ((repeat,) if repeat > 1 else ())
    parts = ("real", "imag") if letter in "CM" else ("",)
    for indices in product(*(range(length) for length in reversed(shape))):
        numbers = "".join(f"_{index + 1}" for index in reversed(indices))
        for part in parts:
            element = _Element(name, letter, indices, part, null=plain.null, scale=plain.scale, zero=plain.zero)
            yield f"{name}{numbers}{part and '_'}{part}", element


def _of_text(path: Location, columns: fits.ColDefs, row_bytes: int) -> tuple[list[tuple[str, _Element]], np.dtype[Any]]:
    """Return the elements of a table of characters, and the layout of its rows."""
    names, forms, offsets = [], [], []
    for column in columns:
        form = _TEXT_FORM.fullmatch(str(column.format))
        if form is None or column.start is None or not 0 < column.start <= row_bytes - int(form[2]) + 1:
            msg = f"{path}, column {column.name!r}: TFORM {column.format!r} at TBCOL {column.start} is none of FITS"
            raise BadFileError(msg)
        names.append(column.name)
        forms.append(f"S{form[2]}")
        offsets.append(column.start - 1)
    layout = np.dtype({"names": names, "formats": forms, "offsets": offsets, "itemsize": row_bytes})
    found = [
        (column.name, _Element(column.name, "text" if form.startswith("A") else "number", null=column.null))
        for column, form in zip(columns, map(str, columns.formats), strict=True)
    ]
    return found, layout


def _values(rows: np.ndarray[Any, Any], element: _Element) -> pa.Array:
    """Return the values of an element in rows."""
    values = rows[element.field]
    for index in element.place:
        values = values[:, index]
    match element.letter:
        case "A" | "text":
            return _texts(values, element)
        case "number":
            return pc.replace_substring(_texts(values, element), "D", "E")
        case "L":
            return pa.array(values == _TRUE, mask=values == _NOTHING)
        case "X":
            bits = np.unpackbits(values.reshape(len(rows), -1), axis=1)[:, : element.bits].astype(np.int64)
            return pa.array(bits @ (1 << np.arange(element.bits - 1, -1, -1, dtype=np.int64)))
        case "C" | "M":
            return _numbers(values.real if element.part == "real" else values.imag, element)
        case _:
            return _numbers(values, element)


def _numbers(values: np.ndarray[Any, Any], element: _Element) -> pa.Array:
    """Return numbers, scaled by TSCAL and TZERO, without those that are TNULL."""
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    mask = native == int(element.null) if element.null is not None and native.dtype.kind in "iu" else None
    scale, zero = element.scale or 1, element.zero or 0
    if native.dtype.kind == "i" and scale == 1 and zero == _SIGN:
        return pa.array(native.view(np.uint64) ^ np.uint64(_SIGN), mask=mask)
    if native.dtype.kind in "iu" and scale == 1 and (zero == 0 or (native.itemsize < WIDEST_BYTES and abs(zero) in SHIFTS)):
        # So are unsigned integers written, and signed bytes.
        whole = native if zero == 0 else native.astype(np.int64) + np.int64(zero)
        return pa.array(whole, mask=mask)
    if (scale, zero) != (1, 0):
        native = native * np.float64(scale) + np.float64(zero)
    return pa.array(native, mask=mask)


def _texts(values: np.ndarray[Any, Any], element: _Element) -> pa.Array:
    """Return texts without the blanks that fill them up. One that begins with NUL is NULL, and so is an empty number."""
    raw = values.tolist()
    if element.letter == "A":
        texts = pa.array([text.split(b"\0", 1)[0] if text[:1] > b"\0" else None for text in raw], pa.binary())
    else:
        nothing = set() if element.null is None else {str(element.null).strip().encode()}
        nothing |= {b""} if element.letter == "number" else set()
        texts = pa.array([None if text.strip() in nothing else text for text in raw], pa.binary())
    trim = pc.utf8_trim if element.letter == "number" else pc.utf8_rtrim
    return trim(texts.cast(pa.string()), " ")

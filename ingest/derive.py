"""Functions that compute a column from the file's columns, by the name that a schema gives in ``derive: {function: ...}``.

A function takes Arrow arrays of equal length, one for each column named in ``from``, and returns one array of that length. It is
deterministic from the row alone: the same row gives the same value in whatever file, batch or order it comes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qserv.errors import BadRowError

CCDM_LETTERS = 3
"""Longest ``ccdm`` code: 26 + 26**2 + 26**3 codes, below 10**5, the room that the key leaves for it."""

CCDM_TEXT = rf"^[A-Z]{{0,{CCDM_LETTERS}}}\z"

TYCHO_TEXT = r"^[0-9]{1,4}-[0-9]{1,5}-[0-9]\z"
"""TYC1-TYC2-TYC3: Guide Star Catalog region (to 9537), number within it (to 12121), component (to 4)."""
TYCHO_DIGITS = (4, 5, 1)
"""Most digits of each of the three numbers."""

DASH = (ord("-") - ord("0")) % 256
"""The dash in an array of bytes less that of the digit 0."""

Int64 = npt.NDArray[np.int64]

_NO_ROWS: Int64 = np.empty(0, dtype=np.int64)


class DerivationError(BadRowError):
    """A value cannot be derived from a row. ``row`` is its place in the arrays, from 0, and ``reason`` says why not."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"row {row} of the batch: {reason}")
        self.row = row
        self.reason = reason


def tycho_key(tyc_id: pa.Array, ccdm: pa.Array) -> pa.Array:
    """Pack a Tycho identifier and a component code into one integer.

    The decimal digits can be read: ``TYC1 * 10**11 + TYC2 * 10**6 + TYC3 * 10**5 + C``, where C is 0 without a code, else the
    letters as a number in base 27 with A = 1 to Z = 26: TYC 1009-1609-1 with AB is 1009_01609_1_00029. It is below 2**53, so that
    clients which know floating numbers alone read it exactly.

    Parameters
    ----------
    tyc_id
        Texts such as ``1009-1609-1``.
    ccdm
        Component codes of at most `CCDM_LETTERS` letters A to Z, or NULL. The two components of a close pair carry the same
        Tycho identifier and differ by their code.

    Returns
    -------
    pa.Array
        int64, no NULL.

    Raises
    ------
    DerivationError
        A value is not of its form.
    """
    parts = _tycho_parts(tyc_id)
    if parts is None:
        formed = pc.fill_null(pc.match_substring_regex(tyc_id, TYCHO_TEXT), fill_value=False)
        row = pc.index(formed, value=False).as_py()
        raise DerivationError(row, f"tyc_id is not of the form TYC1-TYC2-TYC3: {tyc_id[row].as_py()!r}")
    tyc1, tyc2, tyc3 = parts
    return pa.array(tyc1 * 10**11 + tyc2 * 10**6 + tyc3 * 10**5 + _component_number(ccdm))


def _tycho_parts(tyc_id: pa.Array) -> tuple[Int64, Int64, Int64] | None:
    """Return the three numbers of Tycho identifiers, or None if one of the texts is not of the form `TYCHO_TEXT`.

    It looks at the bytes of all texts at once, which takes a fifth of the time of a regular expression.
    """
    if tyc_id.null_count:
        return None
    _, offsets, data = tyc_id.buffers()
    if not len(tyc_id) or data is None:
        return (_NO_ROWS, _NO_ROWS, _NO_ROWS) if not len(tyc_id) else None
    places = np.frombuffer(offsets, dtype=np.int32)[tyc_id.offset : tyc_id.offset + len(tyc_id) + 1].astype(np.int64)
    digits = np.frombuffer(data, dtype=np.uint8)[places[0] : places[-1]] - np.uint8(ord("0"))
    starts, ends = places[:-1] - places[0], places[1:] - places[0]
    dashes = np.flatnonzero(digits == DASH)
    if len(dashes) != 2 * len(tyc_id) or np.count_nonzero(digits > 9) != len(dashes):  # noqa: PLR2004 (the largest digit)
        return None
    first, second = dashes[0::2], dashes[1::2]
    lengths = (first - starts, second - first - 1, ends - second - 1)
    if any((length < 1).any() or (length > most).any() for length, most in zip(lengths, TYCHO_DIGITS, strict=True)):
        return None
    return _numbers(digits, first, lengths[0]), _numbers(digits, second, lengths[1]), _numbers(digits, ends, lengths[2])


def _numbers(digits: np.ndarray, ends: Int64, lengths: Int64) -> Int64:
    """Return the decimal numbers that end before places in an array of digits, of some digits each."""
    numbers = digits[ends - 1].astype(np.int64)
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] += digits[ends[longer] - 1 - place] * np.int64(10**place)
    return numbers


def _component_number(ccdm: pa.Array) -> Int64:
    """Return component codes as numbers in base 27, A = 1; NULL and the empty text are 0."""
    codes, given = ccdm.drop_null(), np.flatnonzero(pc.is_valid(ccdm).to_numpy(zero_copy_only=False))
    row = pc.index(pc.match_substring_regex(codes, CCDM_TEXT), value=False).as_py()
    if row >= 0:
        raise DerivationError(int(given[row]), f"ccdm is not 1 to 3 letters A to Z: {codes[row].as_py()!r}")
    numbers = np.zeros(len(ccdm), dtype=np.int64)
    numbers[given] = _base27(codes)
    return numbers


def _base27(codes: pa.Array) -> Int64:
    """Return texts of letters A to Z as numbers in base 27, A = 1; the empty text is 0."""
    lengths = pc.utf8_length(codes).to_numpy(zero_copy_only=False)
    letters = codes.to_numpy(zero_copy_only=False).astype(f"S{CCDM_LETTERS}").view(np.uint8).reshape(len(codes), CCDM_LETTERS)
    number = np.zeros(len(codes), dtype=np.int64)
    for place in range(CCDM_LETTERS):
        number = np.where(place < lengths, number * 27 + letters[:, place] - (ord("A") - 1), number)
    return number


def renamed(values: pa.Array) -> pa.Array:
    """Return a column of another name as it is."""
    return values


Derivation = Callable[..., pa.Array]
"""Arrow arrays of equal length -> one Arrow array of that length."""

DERIVATIONS: dict[str, Derivation] = {"tycho_key": tycho_key, "renamed": renamed}
"""Functions by the names that schemas use."""

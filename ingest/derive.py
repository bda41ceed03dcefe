"""Functions that compute a column from the file's columns, by the name that a schema gives in ``derive: {function: ...}``.

A function takes Arrow arrays of equal length, one for each column named in ``from``, and returns one array of that length. It is
deterministic from the row alone: the same row gives the same value in whatever file, batch or order it comes.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qserv.errors import BadRowError

CCDM_LETTERS = 3
"""Longest ``ccdm`` code: 26 + 26**2 + 26**3 codes, below 10**5, the room that the key leaves for it."""

TYCHO_TEXT = r"^(?P<tyc1>[0-9]{1,4})-(?P<tyc2>[0-9]{1,5})-(?P<tyc3>[0-9])$"
"""TYC1-TYC2-TYC3: Guide Star Catalog region (to 9537), number within it (to 12121), component (to 4)."""


_PARTS = ("tyc1", "tyc2", "tyc3")


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
    parts = pc.extract_regex(tyc_id, TYCHO_TEXT)
    _refuse(pc.is_null(parts), tyc_id, "tyc_id is not of the form TYC1-TYC2-TYC3")
    codes = pc.fill_null(ccdm, "")
    _refuse(pc.invert(pc.match_substring_regex(codes, f"^[A-Z]{{0,{CCDM_LETTERS}}}$")), ccdm, "ccdm is not 1 to 3 letters A to Z")
    tyc1, tyc2, tyc3 = (pc.cast(pc.struct_field(parts, name), pa.int64()).to_numpy(zero_copy_only=False) for name in _PARTS)
    return pa.array(tyc1 * 10**11 + tyc2 * 10**6 + tyc3 * 10**5 + _base27(codes))


def _base27(codes: pa.Array) -> np.ndarray:
    """Return texts of letters A to Z as numbers in base 27, A = 1; the empty text is 0."""
    lengths = pc.utf8_length(codes).to_numpy(zero_copy_only=False)
    letters = codes.to_numpy(zero_copy_only=False).astype(f"S{CCDM_LETTERS}").view(np.uint8).reshape(len(codes), CCDM_LETTERS)
    number = np.zeros(len(codes), dtype=np.int64)
    for place in range(CCDM_LETTERS):
        number = np.where(place < lengths, number * 27 + letters[:, place] - (ord("A") - 1), number)
    return number


def _refuse(wrong: pa.Array, values: pa.Array, reason: str) -> None:
    """Raise the error of the first row where `wrong` holds, if any."""
    row = pc.index(wrong, value=True).as_py()
    if row >= 0:
        raise DerivationError(row, f"{reason}: {values[row].as_py()!r}")


Derivation = Callable[..., pa.Array]
"""Arrow arrays of equal length -> one Arrow array of that length."""

DERIVATIONS: dict[str, Derivation] = {"tycho_key": tycho_key}
"""Functions by the names that schemas use."""

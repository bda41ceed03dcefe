"""Rows of a file -> rows of a table: in its types, checked, with ``_healpix_29``."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.constants import constant
from ingest.convert import ConversionError, TypeMismatchError, convert, first_true, plain
from ingest.derive import DerivationError
from ingest.formats.source import SourceFile
from ingest.matching import Match, Matching
from ingest.units import scaled
from partitioner.healpix import pixel_of
from partitioner.sphere import Floats, reduced_longitude
from qserv.errors import BadFileError, BadRowError
from schema.model import CONTRIBUTION, ENDED, HEALPIX, Table
from schema.types import row_schema

MAX_LATITUDE_DEG = 90.0

TINY_DEG = 1e-100
"""Below it a coordinate is 0 to every instrument, and its square is 0 to a double."""

SHOWN_CHARACTERS = 80
"""Of a bad value in a message: enough to find it, whatever its length."""

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Reject:
    """A row that is not loaded, by its number in its file (from 1), and a value of it that is why."""

    file: str
    row: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, column {self.column!r}, value {self.value}: {self.reason}"


@dataclass(frozen=True)
class Origin:
    """Where a batch comes from: it begins at row ``first_row`` (from 1) of its file."""

    file: SourceFile
    first_row: int

    def error(self, row: int, column: str, value: pa.Scalar, reason: str) -> "RefusedRowError":
        """Return the error of a row, given by its place in the batch, from 0."""
        return RefusedRowError(self, row, Reject(str(self.file.path), self.first_row + row, column, _shown(value), reason))


class RefusedRowError(BadRowError):
    """A row that must not be stored: the one at place ``row`` of the batch that begins at ``origin``."""

    def __init__(self, origin: Origin, row: int, reject: Reject) -> None:
        super().__init__(f"{reject}; correct or remove the row")
        self.origin, self.row, self.reject = origin, row, reject


@dataclass(frozen=True)
class Rows:
    """A batch of a table's rows.

    Attributes
    ----------
    batch
        The table's columns in their Arrow types, and for a partitioned table ``_healpix_29`` behind them, NULL without position,
        then ``_contribution``.
    ra, dec
        Positions in degrees, shape (n,), ``ra`` in [0, 360); NaN without position. Of shape (0,) for a table without positions.
    director_ra, director_dec
        Positions of the directors' rows, where the rows carry them; likewise.
    """

    batch: pa.RecordBatch
    ra: Floats
    dec: Floats
    origin: Origin
    director_ra: Floats = field(default_factory=lambda: np.empty(0))
    director_dec: Floats = field(default_factory=lambda: np.empty(0))

    def without(self, lost: Bools) -> "Rows":
        """Return the rows without some; their numbers in the file and where their directors are is not known any more."""
        if not lost.any():
            return self
        ra, dec = (each[~lost] if len(each) else each for each in (self.ra, self.dec))
        return Rows(self.batch.filter(pa.array(~lost)), ra, dec, self.origin)


SetAside = Callable[[RefusedRowError], object]
"""Takes a row that is not loaded, or raises the error."""


def none_set_aside(error: RefusedRowError) -> NoReturn:
    """Let every row that cannot be stored end the load."""
    raise error


def read_rows(
    table: Table, file: SourceFile, matching: Matching, set_aside: SetAside = none_set_aside, contribution: int | None = None
) -> Iterator[Rows]:
    """Yield the rows of a file, without those that are set aside.

    Parameters
    ----------
    contribution
        Its number, which goes into each row.

    Raises
    ------
    BadFileError
        The file is damaged, or a column's type cannot become the declared one.
    BadRowError
        A row holds what must not be stored; with file, row number (from 1), column, value and reason.
    """
    schema = row_schema(table)

    def made(source: pa.RecordBatch, origin: Origin) -> Rows:
        columns = {match.column.name: _column(match, source, origin) for match in matching.matches}
        _check_nulls(table, columns, origin)
        _check_ids(table, columns, origin)
        ra, dec = _positions((table.ra, table.dec), columns, origin)
        carried = {match.column.name: _column(match, source, origin) for match in matching.of_director}
        of_director = _positions((table.director_ra, table.director_dec), carried, origin)
        if table.partitioned:
            columns[HEALPIX.name] = _healpix(ra, dec, source.num_rows)
        columns[CONTRIBUTION.name] = pa.repeat(pa.scalar(contribution, pa.int32()), source.num_rows)
        if table.is_history:
            columns[ENDED.name] = pa.nulls(source.num_rows, pa.int32())
        return Rows(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema), ra, dec, origin, *of_director)

    yield from _good(file, matching.needed, made, set_aside)


def read_positions(
    table: Table, file: SourceFile, matching: Matching, set_aside: SetAside = none_set_aside
) -> Iterator[tuple[Floats, Floats]]:
    """Yield (ra, dec) in degrees of the rows of a director's file that have a position, without reading other columns.

    Raises
    ------
    BadFileError, BadRowError
        As of `read_rows`, for these two columns.
    """
    matches = {match.column.name: match for match in matching.matches if match.column.name in {table.ra, table.dec}}
    sources = [source for match in matches.values() for source in match.sources]

    def made(source: pa.RecordBatch, origin: Origin) -> tuple[Floats, Floats]:
        columns = {name: _column(match, source, origin) for name, match in matches.items()}
        ra, dec = _positions((table.ra, table.dec), columns, origin)
        known = ~np.isnan(ra)
        return ra[known], dec[known]

    yield from _good(file, sources, made, set_aside)


def _good(
    file: SourceFile, columns: Sequence[str], made: Callable[[pa.RecordBatch, Origin], Made], set_aside: SetAside
) -> Iterator[Made]:
    """Yield what is made of the batches of a file, each as the pieces between the rows that are set aside."""
    first_row = file.first_row
    for batch in _read_ahead(file.batches(columns)):
        pieces = [(batch, first_row)]
        while pieces:
            piece, first = pieces.pop()
            try:
                found = made(piece, Origin(file, first))
            except RefusedRowError as error:
                set_aside(error)
                before, after = piece.slice(0, error.row), piece.slice(error.row + 1)
                pieces += [(after, first + error.row + 1)] if after.num_rows else []
                pieces += [(before, first)] if before.num_rows else []
                continue
            yield found
        first_row += batch.num_rows


def _shown(value: pa.Scalar) -> str:
    shown = repr(value.as_py()) if value.is_valid else "NULL"
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "..."


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that another thread reads, one ahead: a file is decoded while the rows before are converted."""
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _column(match: Match, source: pa.RecordBatch, origin: Origin) -> pa.Array:
    name = match.column.name
    if not match.sources:
        return pa.repeat(constant(match.column), source.num_rows)
    if match.derivation is None:
        values = source.column(match.sources[0])
        if match.factor != 1:
            values = scaled(plain(values), match.factor, match.column)
    else:
        try:
            values = match.derivation(*(plain(source.column(name)) for name in match.sources))
        except DerivationError as error:
            raise origin.error(error.row, name, source.column(match.sources[0])[error.row], error.reason) from error
    try:
        return convert(values, match.column)
    except ConversionError as error:
        raise origin.error(error.row, name, values[error.row], error.reason) from error
    except TypeMismatchError as error:
        msg = f"{origin.file.path}, column {name!r}: {error}; write the file with another type, or declare the column so"
        raise BadFileError(msg) from error


def _check_nulls(table: Table, columns: dict[str, pa.Array], origin: Origin) -> None:
    """Refuse NULL where the declaration, the primary key or the director key forbid it: NULL is the key of an orphan."""
    keys = {*table.primary_key, None if table.keeps_orphans else table.director_key, table.second_director_key}
    for column in table.columns:
        values = columns[column.name]
        if values.null_count and (not column.nullable or column.name in keys):
            row = first_true(pc.is_null(values))
            if row is not None:
                reason = "it is NULL, and " + ("the column is a key" if column.name in keys else "the column is not nullable")
                raise origin.error(row, column.name, values[row], reason)


def _check_ids(table: Table, columns: dict[str, pa.Array], origin: Origin) -> None:
    """Refuse keys that are not among the numbers of the database."""
    if table.ids is None:
        return
    first, last = table.ids
    for name in table.id_columns:
        found = pc.min_max(columns[name])
        if found["min"].as_py() is not None and not first <= found["min"].as_py() <= found["max"].as_py() <= last:
            values = columns[name].cast(pa.int64()).to_numpy(zero_copy_only=False)
            reason = f"the keys of this database are from {first} to {last} (ids)"
            _refuse((values < first) | (values > last), name, columns, origin, reason)


def _positions(names: tuple[str | None, str | None], columns: dict[str, pa.Array], origin: Origin) -> tuple[Floats, Floats]:
    """Return checked positions, and put reduced longitudes into `columns`."""
    ra_name, dec_name = names
    if ra_name is None or dec_name is None:
        return np.empty(0), np.empty(0)
    ra, dec = (columns[name].to_numpy(zero_copy_only=False).astype(np.float64, copy=False) for name in (ra_name, dec_name))
    _refuse(np.isinf(ra), ra_name, columns, origin, "a position is finite")
    _refuse(np.abs(dec) > MAX_LATITUDE_DEG, dec_name, columns, origin, "a latitude is from -90 to 90 degrees")
    no_ra, no_dec = np.isnan(ra), np.isnan(dec)
    half = "one of longitude and latitude is missing, the other is not"
    _refuse(no_ra & ~no_dec, ra_name, columns, origin, half)
    _refuse(no_dec & ~no_ra, dec_name, columns, origin, half)
    stored = {ra_name: _flushed(reduced_longitude(ra)), dec_name: _flushed(dec)}
    for (name, values), given in zip(stored.items(), (ra, dec), strict=True):
        if values is not given and not np.array_equal(values, given, equal_nan=True):
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    return stored[ra_name], stored[dec_name]


def _flushed(degrees: Floats) -> Floats:
    """Return coordinates with those that are nothing but rounding made 0: PostgreSQL's products of them underflow, an error."""
    tiny = (np.abs(degrees) < TINY_DEG) & (degrees != 0)
    return np.where(tiny, 0.0, degrees) if tiny.any() else degrees


def _refuse(wrong: Bools, name: str, columns: dict[str, pa.Array], origin: Origin, reason: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise origin.error(row, name, columns[name][row], reason)


def _healpix(ra: Floats, dec: Floats, rows: int) -> pa.Array:
    """Return the order-29 pixels of positions, NULL where there is none."""
    if not len(ra):
        return pa.nulls(rows, pa.int64())
    missing = np.isnan(ra)
    if not missing.any():
        return pa.array(pixel_of(ra, dec))
    pixels = np.zeros(rows, dtype=np.int64)
    pixels[~missing] = pixel_of(ra[~missing], dec[~missing])
    return pa.array(pixels, mask=missing)

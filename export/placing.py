"""Rows of an answer -> rows with their pixel before them, and those that have no position."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ingest.guesses import position_names
from ingest.hats import PLACES
from partitioner.healpix import MAX_LATITUDE_DEG, pixel_of
from qserv.errors import ExportError
from schema.model import HEALPIX, HEALPIX_COLUMN

RA_UCD, DEC_UCD = "pos.eq.ra", "pos.eq.dec"
MAIN = ";meta.main"


@dataclass(frozen=True)
class Placing:
    """How rows of an answer are placed.

    Attributes
    ----------
    schema
        Of the rows in a catalogue: their pixel, then the columns of the answer.
    position
        Names of the columns of right ascension and declination, degrees.
    """

    schema: pa.Schema
    position: tuple[str, str]

    @classmethod
    def of(cls, answer: pa.Schema, position: tuple[str, str] | None) -> "Placing":
        """Return how an answer's rows are placed; without a position, by what its columns say of themselves.

        Raises
        ------
        ExportError
            It has no position, or columns that a catalogue cannot have.
        """
        taken = PLACES.intersection(answer.names)
        if taken:
            msg = f"column {min(taken)} has a name that HATS keeps for itself; give it another one, by AS"
            raise ExportError(msg)
        found = position or _found(answer)
        for name in found:
            _check_column(answer, name)
        pixel = pa.field(HEALPIX_COLUMN, pa.int64(), metadata={"ucd": HEALPIX.ucd, "description": HEALPIX.description})
        fields = [field for field in answer if field.name != HEALPIX_COLUMN]
        return cls(pa.schema([pixel, *fields]), found)

    def placed(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Return the rows that have a position, and those that have none.

        Raises
        ------
        ExportError
            A position is none.
        """
        ra, dec = (
            pc.cast(batch.column(name), pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64) for name in self.position
        )
        missing = np.isnan(ra) | np.isnan(dec)
        wrong = ~missing & (np.isinf(ra) | ~(np.abs(dec) <= MAX_LATITUDE_DEG))
        if wrong.any():
            row = int(wrong.argmax())
            msg = (
                f"a row has {self.position[0]} = {ra[row]} and {self.position[1]} = {dec[row]}, which is no position in degrees:"
                f" leave such rows out, or name other columns by --ra and --dec"
            )
            raise ExportError(msg)
        pixels = np.zeros(len(ra), dtype=np.int64)
        pixels[~missing] = pixel_of(ra[~missing], dec[~missing])
        columns = [pa.array(pixels, mask=missing), *(batch.column(name) for name in self.schema.names[1:])]
        rows = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not missing.any():
            return rows, rows.slice(0, 0)
        return rows.filter(pa.array(~missing)), rows.filter(pa.array(missing))


def _found(answer: pa.Schema) -> tuple[str, str]:
    """Return the columns that say by their UCD, or else by their names, that they are the position."""
    for suffix in (MAIN, ""):
        named = [[field.name for field in answer if _said(field).get("ucd") == f"{ucd}{suffix}"] for ucd in (RA_UCD, DEC_UCD)]
        if all(len(names) == 1 for names in named):
            return named[0][0], named[1][0]
    for names in position_names(answer.names):
        return names
    msg = f"none of {', '.join(answer.names)} is known to be the position; select it, or name its columns by --ra and --dec"
    raise ExportError(msg)


def _check_column(answer: pa.Schema, name: str) -> None:
    if name not in answer.names:
        msg = f"there is no column {name}; there is {', '.join(answer.names)}"
        raise ExportError(msg)
    field = answer.field(name)
    if not (types.is_floating(field.type) or types.is_integer(field.type)):
        msg = f"column {name} is of type {field.type}, which is no angle; name other columns by --ra and --dec"
        raise ExportError(msg)
    unit = _said(field).get("unit", "deg")
    if unit != "deg":
        msg = f"column {name} is in {unit}; positions are in degrees: select it so"
        raise ExportError(msg)


def _said(field: pa.Field) -> Mapping[str, str]:
    return {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}

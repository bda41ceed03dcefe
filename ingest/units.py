"""Units of a file that are not those of the schema."""

import warnings
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from astropy import units

from ingest.locations import Location
from qserv.errors import BadFileError
from schema.model import Column, ColumnType

FORMATS: Final = ("vounit", "fits", "cds", "generic")
"""Ways of writing units, as astropy knows them, the strictest one first."""


def unit_factor(path: Location, column: Column, written: str | None) -> float:
    """Return by what values of a file are multiplied to be in the unit of a column; 1 where one of the two says no unit.

    Raises
    ------
    BadFileError
        The file's unit is none, or cannot become that of the column.
    """
    if not written or not column.unit or written.strip() == column.unit:
        return 1.0
    unit = _unit(written.strip())
    if unit is None:
        msg = (
            f"{path}, column {column.name!r}: {written!r} is not known as a unit, and the schema says {column.unit!r};"
            f" correct the unit in the file, or load with --ignore-units"
        )
        raise BadFileError(msg)
    try:
        return float(unit.to(units.Unit(column.unit, format="vounit")))
    except units.UnitConversionError as error:
        msg = (
            f"{path}, column {column.name!r}: the unit {written!r} of the file cannot become {column.unit!r} of the schema;"
            f" correct either, or load with --ignore-units"
        )
        raise BadFileError(msg) from error


def as_vounit(written: str) -> str | None:
    """Return a unit of a file as a schema writes it (VOUnit), None if it is none."""
    unit = _unit(written)
    try:
        return None if unit is None else str(unit.to_string("vounit"))
    except ValueError:
        return None


def scaled(values: pa.Array, factor: float, column: Column) -> pa.Array:
    """Return values in another unit: computed in double precision, rounded where the column is a ``float``."""
    found = pc.multiply(values.cast(pa.float64()), factor)
    return found.cast(pa.float32(), safe=False) if column.datatype is ColumnType.FLOAT else found


def _unit(written: str) -> units.UnitBase | None:
    with warnings.catch_warnings():
        # Deprecated units are valid.
        warnings.simplefilter("ignore", units.UnitsWarning)
        for known in FORMATS:
            try:
                return units.Unit(written, format=known)
            except (ValueError, TypeError):
                continue
    return None

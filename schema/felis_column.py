"""A column of Felis -> a column of the model."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

from astropy import units
from felis import datamodel
from pydantic import ValidationError

from qserv.errors import SchemaError
from schema.model import Column, ColumnType
from schema.partitioning import ColumnEntry
from schema.types import votable_type

TIMESTAMP_DIGITS = 6
"""PostgreSQL and the type table keep microseconds."""

_TEXTS = frozenset({ColumnType.CHAR, ColumnType.STRING, ColumnType.TEXT})
_SIZED = frozenset({ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.BINARY})


def convert_column(column: datamodel.Column, entry: ColumnEntry, place: str, found: list[str]) -> Column:
    """Return a column of the model.

    Parameters
    ----------
    column
        The column, as the Felis library read it.
    entry
        What the partition file says of it.
    place
        Table and column, to name a problem.
    found
        Takes the problems; the column returned is then of no use but to look for more.
    """
    problems: list[str] = []
    converted = Column(
        name=column.name,
        datatype=_datatype(column, problems),
        description=" ".join((column.description or "").split()),
        length=column.length if column.datatype.value in _SIZED else None,
        nullable=column.nullable,
        unit=_unit(column, problems),
        ucd=column.ivoa_ucd,
        utype=column.votable_utype,
        xtype=column.votable_xtype if column.datatype is not datamodel.DataType.timestamp else None,
        principal=bool(column.tap_principal),
        std=bool(column.tap_std),
        keep_nan=entry.nan == "keep",
        derived_by=entry.derive.function if entry.derive else None,
        derived_from=entry.derive.source if entry.derive else (),
    )
    _check_votable(column, converted, problems)
    if column.postgresql_datatype is not None:
        problems.append("postgresql:datatype: types are those of Felis; leave it out")
    if column.precision is not None and column.precision > TIMESTAMP_DIGITS:
        problems.append(f"precision: times are kept to {TIMESTAMP_DIGITS} digits of a second")
    found += [f"{place}: {problem}" for problem in problems]
    return converted


def read_column(attributes: Mapping[str, Any]) -> Column:
    """Return a column, by its attributes as a Felis file has them: ``name``, ``datatype``, ``ivoa:unit`` and so on.

    Raises
    ------
    SchemaError
        One of them is wrong.
    """
    place, problems = f"column {attributes['name']}", list[str]()
    try:
        felis = datamodel.Column.model_validate({"@id": "#column", **attributes})
    except ValidationError as error:
        found = [": ".join((*map(str, item["loc"]), item["msg"])) for item in error.errors()]
        msg = f"{place}: {'; '.join(found)}"
        raise SchemaError(msg) from error
    column = convert_column(felis, ColumnEntry(), place, problems)
    if problems:
        raise SchemaError("; ".join(problems))
    return column


def _datatype(column: datamodel.Column, problems: list[str]) -> ColumnType:
    if column.datatype is datamodel.DataType.byte:
        problems.append("datatype: PostgreSQL has no byte; use short")
        return ColumnType.SHORT
    datatype = ColumnType(column.datatype.value)
    if datatype in _TEXTS and column.votable_datatype == "unicodeChar":
        return ColumnType.UNICODE
    return datatype


def _unit(column: datamodel.Column, problems: list[str]) -> str | None:
    """Return the unit in VOUnit syntax: as declared if it is that already, else translated from FITS's."""
    declared = column.ivoa_unit or column.fits_tunit
    if not declared:
        return None
    with warnings.catch_warnings():
        # Deprecated units are valid.
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            units.Unit(declared, format="vounit")
        except ValueError as error:
            if column.ivoa_unit:
                problems.append(f"ivoa:unit: {declared!r} is not a VOUnit: {error}")
                return None
        else:
            return str(declared)
        try:
            return str(units.Unit(declared).to_string("vounit"))
        except ValueError as error:
            problems.append(f"fits:tunit: {declared!r} has no VOUnit form: {error}")
            return None


def _check_votable(column: datamodel.Column, converted: Column, problems: list[str]) -> None:
    """Check that what Felis says of the VOTable form is what the type table makes of the column."""
    made = votable_type(converted)
    if column.votable_datatype not in (None, made.datatype):
        problems.append(f"votable:datatype: a {converted.datatype} is sent as {made.datatype}, not as {column.votable_datatype}")
    declared = str(column.votable_arraysize or "1")
    if made.arraysize is None and declared != "1":
        problems.append(f"votable:arraysize: array columns are not supported: {declared}")
    if made.arraysize is not None and not re.fullmatch(r"\*|\d+\*?", declared):
        problems.append(f"votable:arraysize: {declared!r} is not a size of a text or of bytes")
    sizes = re.findall(r"\d+", declared) if column.votable_arraysize else []
    if sizes and converted.length is not None and int(sizes[0]) != converted.length:
        problems.append(f"votable:arraysize: {declared} differs from length {converted.length}")

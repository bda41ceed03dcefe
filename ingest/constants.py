"""The value of a column in rows whose file does not have it."""

import pyarrow as pa

from ingest.convert import ConversionError, convert
from qserv.errors import SchemaError
from schema.model import Column, ColumnType
from schema.types import arrow_type

HEXADECIMAL = "\\x"
"""What bytes begin with where they are written as text, two digits for each."""


def constant(column: Column) -> pa.Scalar:
    """Return the default of a column, in its Arrow type; NULL where it has none.

    Raises
    ------
    SchemaError
        The default is no value of the column's type, or is stored as NULL.
    """
    if column.default is None:
        return pa.scalar(None, arrow_type(column))
    refused = f"column {column.name!r} cannot have the default {column.default!r}"
    try:
        (value,) = convert(pa.array([_read(column)]), column)
    except ConversionError as error:
        msg = f"{refused}: {error.reason}"
        raise SchemaError(msg) from error
    except ValueError as error:
        msg = f"{refused}: bytes are written as {HEXADECIMAL}00ff"
        raise SchemaError(msg) from error
    if not value.is_valid:
        msg = f"{refused}: it is stored as NULL; leave it out, or let the column keep NaN"
        raise SchemaError(msg)
    return value


def _read(column: Column) -> str | bytes:
    """Return the default of a column as a file could have it."""
    text = str(column.default)
    if column.datatype is not ColumnType.BINARY:
        return text
    if not text.startswith(HEXADECIMAL):
        raise ValueError(text)
    return bytes.fromhex(text.removeprefix(HEXADECIMAL))

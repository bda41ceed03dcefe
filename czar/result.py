"""What a column of an answer is: the declaration of the table column it shows, or what its type says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from czar.analyse.query import Output
from qserv.errors import NotYetSupportedError
from schema.model import HEALPIX, Column, ColumnType, Table

INFERRED: dict[pa.DataType, ColumnType] = {
    pa.bool_(): ColumnType.BOOLEAN,
    pa.int16(): ColumnType.SHORT,
    pa.int32(): ColumnType.INT,
    pa.int64(): ColumnType.LONG,
    pa.float32(): ColumnType.FLOAT,
    pa.float64(): ColumnType.DOUBLE,
    pa.binary(): ColumnType.BINARY,
}
"""Types of expressions by the Arrow type that PostgreSQL's answer has; times and texts follow below."""


@dataclass(frozen=True)
class ResultColumn:
    """A column of an answer. ``table`` is the table that it shows a column of, or None for an expression.

    Where ``is_array``, ``column`` says what the elements are.
    """

    name: str
    column: Column
    table: Table | None = None
    is_array: bool = False


def described(columns: Sequence[ResultColumn], types: Iterable[pa.DataType]) -> pa.Schema:
    """Return the schema of an answer with unit, UCD, description and frame of each column in its field's metadata."""
    return pa.schema([pa.field(of.name, kind, metadata=_facts(of)) for of, kind in zip(columns, types, strict=True)])


def _facts(result: ResultColumn) -> dict[str, str]:
    column, table = result.column, result.table
    facts = {
        name: value for name, value in (("unit", column.unit), ("ucd", column.ucd), ("description", column.description)) if value
    }
    if table and table.frame and column.name in {table.ra, table.dec}:
        facts["frame"] = " ".join(filter(None, (table.frame.system, table.frame.epoch)))
    return facts


def result_column(output: Output, found: pa.DataType) -> ResultColumn:
    """Return the column for an output of a plan whose values have an Arrow type.

    Raises
    ------
    NotYetSupportedError
        An answer has no form for the type.
    """
    if output.source is not None and output.column is not None:
        table = output.source.entry.table
        return ResultColumn(output.name, table.by_name.get(output.column, HEALPIX), table)
    if pa.types.is_list(found):
        return replace(result_column(output, found.value_type), is_array=True)
    if pa.types.is_timestamp(found) or pa.types.is_date(found):
        return ResultColumn(output.name, Column(output.name, ColumnType.TIMESTAMP))
    if found not in INFERRED and not pa.types.is_string(found):
        msg = f"not yet supported: column {output.name} of type {found}; cast it to a number or a text"
        raise NotYetSupportedError(msg)
    return ResultColumn(output.name, Column(output.name, INFERRED.get(found, ColumnType.TEXT)))

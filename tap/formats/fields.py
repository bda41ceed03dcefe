"""Columns of an answer as output formats see them."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from czar.result import ResultColumn
from schema.model import Column, ColumnType, Frame, Table, TimeSystem
from schema.types import VOTableType, votable_type, votable_type_of


@dataclass(frozen=True)
class Field:
    """A column of an answer: what it means and how its values travel."""

    name: str
    arrow: pa.DataType
    votable: VOTableType
    column: Column
    frame: Frame | None = None
    """Coordinate system of a position or proper motion."""
    time_system: TimeSystem | None = None
    """Time system of a time."""
    null: int | None = None
    """What stands for NULL among the elements of an array of integers: the smallest number of the type."""


NULL_ELEMENTS = {"short": -(2**15), "int": -(2**31), "long": -(2**63)}


def fields_of(columns: Iterable[ResultColumn], schema: pa.Schema) -> tuple[Field, ...]:
    """Return the fields of an answer.

    The rows decide how values travel; the declared column adds length, ``xtype`` and whether texts go beyond ASCII.

    Raises
    ------
    SchemaError
        A column has a type that VOTable has no form for.
    """
    return tuple(_field(result, arrow.type) for result, arrow in zip(columns, schema, strict=True))


def _field(result: ResultColumn, arrow: pa.DataType) -> Field:
    """Return the field of one column."""
    column, table = result.column, result.table
    of_rows = votable_type_of(arrow)
    if pa.types.is_list(arrow):
        return Field(result.name, arrow, of_rows, column, null=NULL_ELEMENTS.get(of_rows.datatype))
    declared = votable_type(column)
    if column.datatype is ColumnType.UNICODE and of_rows.datatype == "char":
        votable = declared
    else:
        votable = declared if declared.datatype == of_rows.datatype and _is_scalar(declared) == _is_scalar(of_rows) else of_rows
    return Field(
        name=result.name,
        arrow=arrow,
        votable=votable,
        column=column,
        frame=table.frame if table and _is_position(column, table) else None,
        time_system=table.time_system if table and _is_time(column) else None,
    )


def _is_scalar(votable: VOTableType) -> bool:
    return votable.arraysize is None


def _is_position(column: Column, table: Table) -> bool:
    """Whether the values of a column are coordinates in the table's frame, or motions along them."""
    ucd = column.ucd or ""
    return column.name in {table.ra, table.dec} or ucd.startswith(("pos.eq", "pos.pm", "pos.parallax"))


def _is_time(column: Column) -> bool:
    """Whether the values of a column are points in time."""
    return column.datatype is ColumnType.TIMESTAMP or (column.ucd or "").startswith("time.epoch")

"""One table of types: Felis <-> PostgreSQL <-> Arrow <-> VOTable.

It is a whitelist: what is not in it is refused, because a type that one of the four writes and another cannot read loses values
silently (DESIGN, section 11). Not in it on purpose: PostgreSQL ``numeric`` (ADBC hands it over as text), ``timestamptz`` and
nanosecond timestamps (``pgpq`` refuses them), fixed-length ``character(n)`` (it pads with blanks that comparisons then ignore).

Sources: Felis ``felis.datamodel.DataType``; VOTable 1.5, section 2.1 and 3.1 (datatypes, arraysize); DALI 1.2, section 3
(``xtype="timestamp"``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from qserv.errors import SchemaError
from schema.model import Column, ColumnType, Table


@dataclass(frozen=True)
class VOTableType:
    """Type attributes of a VOTable FIELD. ``arraysize`` None is a scalar, ``*`` is of any length, ``n*`` at most ``n``."""

    datatype: str
    arraysize: str | None = None
    xtype: str | None = None


@dataclass(frozen=True)
class _Row:
    """One row of the type table. `postgres_bounded` is the PostgreSQL type where the column has a length."""

    postgres: str
    arrow: pa.DataType
    votable: VOTableType
    postgres_bounded: str | None = None


_TEXT = VOTableType("char", "*")
_TIMESTAMP = VOTableType("char", "*", "timestamp")

_TYPES = {
    ColumnType.BOOLEAN: _Row("boolean", pa.bool_(), VOTableType("boolean")),
    ColumnType.SHORT: _Row("smallint", pa.int16(), VOTableType("short")),
    ColumnType.INT: _Row("integer", pa.int32(), VOTableType("int")),
    ColumnType.LONG: _Row("bigint", pa.int64(), VOTableType("long")),
    ColumnType.FLOAT: _Row("real", pa.float32(), VOTableType("float")),
    ColumnType.DOUBLE: _Row("double precision", pa.float64(), VOTableType("double")),
    ColumnType.CHAR: _Row("text", pa.string(), _TEXT, "varchar({length})"),
    ColumnType.STRING: _Row("text", pa.string(), _TEXT, "varchar({length})"),
    ColumnType.UNICODE: _Row("text", pa.string(), VOTableType("unicodeChar", "*"), "varchar({length})"),
    ColumnType.TEXT: _Row("text", pa.string(), _TEXT),
    ColumnType.BINARY: _Row("bytea", pa.binary(), VOTableType("unsignedByte", "*")),
    ColumnType.TIMESTAMP: _Row("timestamp without time zone", pa.timestamp("us"), _TIMESTAMP),
}

_VOTABLE_OF_ARROW = {
    pa.bool_(): VOTableType("boolean"),
    pa.int8(): VOTableType("short"),
    pa.uint8(): VOTableType("unsignedByte"),
    pa.int16(): VOTableType("short"),
    pa.uint16(): VOTableType("int"),
    pa.int32(): VOTableType("int"),
    pa.uint32(): VOTableType("long"),
    pa.int64(): VOTableType("long"),
    pa.float32(): VOTableType("float"),
    pa.float64(): VOTableType("double"),
    pa.string(): _TEXT,
    pa.large_string(): _TEXT,
    pa.string_view(): _TEXT,
    pa.binary(): VOTableType("unsignedByte", "*"),
    pa.large_binary(): VOTableType("unsignedByte", "*"),
    pa.binary_view(): VOTableType("unsignedByte", "*"),
    pa.date32(): _TIMESTAMP,
    pa.timestamp("s"): _TIMESTAMP,
    pa.timestamp("ms"): _TIMESTAMP,
    pa.timestamp("us"): _TIMESTAMP,
    pa.null(): _TEXT,
}
"""Types that expressions may have, beside those of columns: DuckDB's small and unsigned integers, dates, a bare NULL."""

_BOUNDED = frozenset({ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.TEXT, ColumnType.BINARY})
"""Types whose ``length`` bounds them; Felis lets the others carry one that means nothing."""


def postgres_type(column: Column) -> str:
    """Return the PostgreSQL type of a column, such as ``double precision`` or ``varchar(12)``.

    ADBC reads ``varchar(n)`` as it reads ``text``, and COPY BINARY checks the length, so that the ``arraysize`` that clients see
    is never a lie.
    """
    row = _TYPES[column.datatype]
    if column.length is not None and row.postgres_bounded is not None:
        return row.postgres_bounded.format(length=column.length)
    return row.postgres


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type in which a column is read, sent and loaded."""
    return _TYPES[column.datatype].arrow


def arrow_schema(table: Table, *, hidden: Iterable[Column] | None = None) -> pa.Schema:
    """Return the Arrow schema of a table's rows, columns in their declared order.

    Parameters
    ----------
    table
        The table.
    hidden
        Columns behind the declared ones; by default those of the physical table.
    """
    columns = (*table.columns, *(table.hidden if hidden is None else hidden))
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def row_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of rows before all rows of their chunk are together: what takes these is not there yet."""
    return arrow_schema(table, hidden=table.carried)


def votable_type(column: Column) -> VOTableType:
    """Return the VOTable type of a column; its own ``xtype``, if declared, wins.

    Texts are variable-length (``n*``) even where Felis says ``char``: values are stored without padding.
    """
    base = _TYPES[column.datatype].votable
    arraysize = f"{column.length}*" if column.length is not None and column.datatype in _BOUNDED else base.arraysize
    return VOTableType(base.datatype, arraysize, column.xtype or base.xtype)


def votable_type_of(arrow: pa.DataType) -> VOTableType:
    """Return the VOTable type for an expression's result of an Arrow type.

    Arrays of what VOTable has as arrays themselves, texts and times, are one text.

    Raises
    ------
    SchemaError
        VOTable output has no form for the type. PostgreSQL's ``numeric`` is among them: the planner casts it to double precision.
    """
    if pa.types.is_list(arrow):
        element = votable_type_of(arrow.value_type)
        return _TEXT if element.arraysize else VOTableType(element.datatype, "*")
    found = _VOTABLE_OF_ARROW.get(arrow)
    if found is None:
        msg = f"values of Arrow type {arrow} cannot be sent as VOTable; cast the expression to a type such as DOUBLE PRECISION"
        raise SchemaError(msg)
    return found

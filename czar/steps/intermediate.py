"""The rows of a step: a table that the rest of a query reads, on the nodes if it is small, else in the scratch database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from czar.analyse.kinds import Kind
from czar.analyse.query import Output
from czar.catalogue import TableEntry
from schema.model import Column, ColumnType, Table, TableRole
from schema.physical import quote

SENT_BYTES: Final = 4_000_000
"""Largest step that is sent to the nodes, as part of each chunk query: PostgreSQL reads so much text in some 50 ms."""

SENT_IN_ALL_BYTES: Final = 32_000_000
"""Largest product of a step's size and the chunks it is sent to: beyond it, the other rows are better brought together."""

SENT_ANYWAY_BYTES: Final = 65_536
"""A step of this size costs a chunk query less than a millisecond."""

NUMERIC: Final = pa.large_string()
"""A column of numeric, as its digits: Arrow's decimals have a fixed number of them."""

TYPES: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE PRECISION",
    pa.string(): "TEXT",
    NUMERIC: "NUMERIC",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
}
"""PostgreSQL's name of the types that can be written as text; a step with others stays in the scratch database."""


@dataclass(frozen=True, eq=False)
class Intermediate(TableEntry):
    """The rows of a step, as a table that every node has."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    sums: frozenset[str] = frozenset()
    """Columns that are sums of integers: shown in an answer, they are bigint."""
    rows: pa.Table | None = None
    """The rows, if they are few enough to be sent; None before the step has run, and if they are in the scratch database."""

    @property
    def sql(self) -> str:
        """The rows as a relation of PostgreSQL; only the name of the step before it has run."""
        if self.rows is None:
            return quote(self.table.name)
        return inline(self.rows)


def intermediate(name: str, outputs: Sequence[Output], rows: pa.Table | None = None, *, is_large: bool = False) -> Intermediate:
    """Return the table for the rows of a step."""
    columns = tuple(Column(output.name, ColumnType.TEXT) for output in outputs)
    return Intermediate(
        database="",
        family="",
        table=Table(name, TableRole.REPLICATED, columns),
        chunks=np.array([-1]),
        kinds={output.name: output.kind for output in outputs} | ({} if rows is None else _kinds(rows.schema)),
        sums=frozenset(output.name for output in outputs if output.is_sum),
        row_counts=np.array([rows.num_rows if rows is not None else 0]),
        overlap_row_counts=np.array([0]),
        rows=rows,
        is_large=is_large,
    )


def _kinds(schema: pa.Schema) -> dict[str, Kind]:
    return {column.name: _KINDS[column.type] for column in schema if column.type in _KINDS}


_KINDS: Final = {
    pa.int16(): Kind.INTEGER,
    pa.int32(): Kind.INTEGER,
    pa.int64(): Kind.BIGINT,
    pa.float32(): Kind.FLOAT,
    pa.float64(): Kind.FLOAT,
    NUMERIC: Kind.NUMERIC,
    pa.timestamp("us"): Kind.TIME,
    pa.string(): Kind.OTHER,
    pa.bool_(): Kind.OTHER,
}


def sendable_bytes(chunk_count: int) -> int:
    """Return the largest size of a step that is sent to so many chunks."""
    return min(SENT_BYTES, max(SENT_ANYWAY_BYTES, SENT_IN_ALL_BYTES // max(1, chunk_count)))


def step_schema(outputs: Sequence[Output], schema: pa.Schema, carried: Collection[int]) -> pa.Schema:
    """Return the schema of a step's rows, whose columns are those of an answer; what is carried as binary is numeric."""
    return pa.schema(
        [
            pa.field(output.name, NUMERIC if place in carried and pa.types.is_binary(found.type) else found.type)
            for place, (output, found) in enumerate(zip(outputs, schema, strict=False))
        ]
    )


def step_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows of an answer as those of a step; hidden columns, which order them, are left out."""
    columns = [
        column.cast(pa.string()).cast(NUMERIC) if kind == NUMERIC else column
        for column, kind in zip(batch.columns, schema.types, strict=False)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def can_be_sent(schema: pa.Schema) -> bool:
    """Whether rows of a schema can be written as text for PostgreSQL."""
    return all(field.type in TYPES for field in schema)


def inline(rows: pa.Table) -> str:
    """Return a table as ``(SELECT * FROM UNNEST(...))``, one array a column."""
    names = ", ".join(quote(name) for name in rows.column_names)
    arrays = ", ".join(_array(column.combine_chunks()) for column in rows.columns)
    return f"(SELECT * FROM UNNEST({arrays}) AS step({names}))"  # noqa: S608 (names are quoted, values are literals)


def literal(value: pa.Scalar) -> str:
    """Return one value as a literal of its type."""
    text = "NULL" if not value.is_valid else _quoted(_writer(value.type)(value.as_py()))
    return f"CAST({text} AS {TYPES[value.type]})"


def _array(values: pa.Array) -> str:
    write = _writer(values.type)
    parts = ["NULL" if value is None else f'"{write(value)}"' for value in _escaped(values)]
    return f"CAST({_quoted('{' + ','.join(parts) + '}')} AS {TYPES[values.type]}[])"


def _escaped(values: pa.Array) -> list[object]:
    listed: list[object] = values.to_pylist()
    if not pa.types.is_string(values.type):
        return listed
    return [None if value is None else str(value).replace("\\", "\\\\").replace('"', '\\"') for value in listed]


def _writer(kind: pa.DataType) -> Callable[[object], str]:
    return repr if pa.types.is_floating(kind) else str


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

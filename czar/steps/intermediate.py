"""The rows of a step: a table that the rest of a query reads, on the nodes if it is small, else in the scratch database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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

NUMBERS: Final = frozenset({pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()})

NUMERIC: Final = pa.large_string()
"""A column of numeric, as its digits: Arrow's decimals have a fixed number of them."""

NUMERICS: Final = pa.list_(NUMERIC)
"""A column of arrays of numeric."""

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
    arrays: frozenset[str] = frozenset()
    """Columns that are arrays, once the step has run."""
    rows: pa.Table | None = None
    """The rows, if they are few enough to be sent; None before the step has run, and if they are in the scratch database."""

    def numbers(self, columns: Sequence[str]) -> list[tuple[int | float | None, ...]] | None:
        """Return the values of some columns in all rows, if these are at hand and the values are numbers; else None."""
        if self.rows is None or not all(self.rows.schema.field(name).type in NUMBERS for name in columns):
            return None
        return list(zip(*(self.rows.column(name).to_pylist() for name in columns), strict=True))

    @property
    def sql(self) -> str:
        """The rows as a relation of PostgreSQL; only the name of the step before it has run."""
        if self.rows is None:
            return quote(self.table.name)
        return inline(self.rows)


def intermediate(
    name: str,
    outputs: Sequence[Output],
    rows: pa.Table | None = None,
    *,
    is_large: bool = False,
    arrays: Collection[str] = (),
) -> Intermediate:
    """Return the table for the rows of a step; ``arrays`` are its columns that are, where the rows are not at hand."""
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
        arrays=frozenset(arrays if rows is None else arrays_of(rows.schema)),
        rows=rows,
        is_large=is_large,
    )


def arrays_of(schema: pa.Schema) -> list[str]:
    """Return the columns that are arrays."""
    return [column.name for column in schema if pa.types.is_list(column.type)]


def _kinds(schema: pa.Schema) -> dict[str, Kind]:
    """Kinds of columns; of arrays, that of their elements, as everywhere."""
    kinds = ((column.name, _KINDS.get(_of_elements(column.type))) for column in schema)
    return {name: kind for name, kind in kinds if kind is not None}


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
    kinds = [_carried(found.type) if place in carried else found.type for place, found in enumerate(schema)]
    return pa.schema([(output.name, kind) for output, kind in zip(outputs, kinds, strict=False)])


def _carried(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_carried(kind.value_type))
    return NUMERIC if pa.types.is_binary(kind) else kind


def step_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows of an answer as those of a step; hidden columns, which order them, are left out."""
    texts = {NUMERIC: pa.string(), NUMERICS: pa.list_(pa.string())}
    columns = [
        column.cast(texts[kind]).cast(kind) if kind in texts else column
        for column, kind in zip(batch.columns, schema.types, strict=False)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def can_be_sent(schema: pa.Schema) -> bool:
    """Whether rows of a schema can be written as text for PostgreSQL."""
    return all(_of_elements(field.type) in TYPES for field in schema)


def inline(rows: pa.Table) -> str:
    """Return a table as ``(SELECT * FROM UNNEST(...))``, one array a column, in which arrays are texts: UNNEST takes all apart."""
    names = [quote(name) for name in rows.column_names]
    items = [
        f"CAST({name} AS {_postgres(field.type)}) AS {name}" if pa.types.is_list(field.type) else name
        for name, field in zip(names, rows.schema, strict=True)
    ]
    arrays = ", ".join(_array(column.combine_chunks()) for column in rows.columns)
    shown = "*" if items == names else ", ".join(items)
    return f"(SELECT {shown} FROM UNNEST({arrays}) AS step({', '.join(names)}))"  # noqa: S608 (names are quoted, values are literals)


def literal(value: pa.Scalar) -> str:
    """Return one value as a literal of its type."""
    text = _quoted(_texts(pa.array([value]))[0].as_py()) if value.is_valid else "NULL"
    return f"CAST({text} AS {_postgres(value.type)})"


def _array(values: pa.Array) -> str:
    kind = "TEXT" if pa.types.is_list(values.type) else TYPES[values.type]
    return f"CAST({_quoted(_texts(_one_list(values))[0].as_py())} AS {kind}[])"


def _one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _of_elements(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _postgres(kind: pa.DataType) -> str:
    return TYPES[_of_elements(kind)] + ("[]" if pa.types.is_list(kind) else "")


def _texts(values: pa.Array) -> pa.Array:
    """Return values as PostgreSQL reads them, as strings: made one by one in Python, they take several times the memory."""
    if not pa.types.is_list(values.type):
        return values.cast(pa.string())
    offsets = pa.array(values.offsets.to_numpy())  # a mask goes with offsets that are no slice of others
    inside = pa.ListArray.from_arrays(offsets, _elements(values.values), mask=values.is_null())
    return pc.binary_join_element_wise("{", pc.binary_join(inside, ","), "}", "")


def _elements(values: pa.Array) -> pa.Array:
    """Return values as they stand in an array."""
    texts = _texts(values)
    if values.type not in NUMBERS:
        for special in ("\\", '"'):
            texts = pc.replace_substring(texts, special, "\\" + special)
        texts = pc.binary_join_element_wise('"', texts, '"', "")
    return texts.fill_null("NULL")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

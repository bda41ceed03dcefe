"""Combines the rows of chunks in DuckDB: concatenate, group, sort, limit. Expressions are left to PostgreSQL (DESIGN, 5)."""

import threading
from collections.abc import Iterable, Iterator

import duckdb
import pyarrow as pa

from qserv.errors import MemoryLimitError, QueryEvaluationError

OVERFLOW = "value out of range: overflow"
"""What PostgreSQL says of a number beyond double precision."""

IN_RANGE = f"""
CREATE MACRO in_range(value, of_finite) AS CASE WHEN of_finite AND NOT ISFINITE(value) THEN ERROR('{OVERFLOW}') ELSE value END
"""
"""A function that statements may call: it ends one whose value is infinite though it is made of finite ones."""

BATCH_ROWS = 100_000
"""Rows of a batch of the answer: some megabytes."""


class Merger:
    """One DuckDB in memory, shared by the queries of a czar, closed to the outside.

    Parameters
    ----------
    memory_bytes
        What DuckDB may hold in memory; beyond it sorts and groups go to disk.
    directory
        Where they go.
    """

    def __init__(self, memory_bytes: int, directory: str) -> None:
        self._lock = threading.Lock()
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_bytes // 1_000_000}MB",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                "preserve_insertion_order": "false",
            },
        )
        # In this order: without external access the directory cannot be set, and then nothing can be set at all.
        self._database.sql("SET temp_directory = $directory", params={"directory": directory})
        self._database.sql("SET enable_external_access = false")
        self._database.sql("SET lock_configuration = true")
        self._database.sql(IN_RANGE)

    def combine(
        self, sql: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], wide: Iterable[tuple[str, str]] = ()
    ) -> pa.RecordBatchReader:
        """Return the answer of ``sql`` over relation ``partials``, which the batches are.

        Sums of integers come back as int64; those of ``wide``, a column of the answer with one of the partials, as decimal128 with
        38 digits where the latter is of int64: as PostgreSQL's sum of bigint, they need not fit into one.

        Raises
        ------
        QueryEvaluationError
            A sum is out of the range of bigint.
        MemoryLimitError
            Groups or sorts need more memory or disk than there is.
        Exception
            Whatever reading the batches raised.
        """
        with self._lock:
            cursor = self._database.cursor()
        failure: list[Exception] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except Exception as error:
                failure.append(error)
                raise

        cursor.register("partials", pa.RecordBatchReader.from_batches(schema, watched()))
        try:
            reader = cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            cursor.close()
            raise (failure[0] if failure else _meaning(error)) from error
        target = _whole_numbers(reader.schema, {name for name, partial in wide if schema.field(partial).type == pa.int64()})

        def answer() -> Iterator[pa.RecordBatch]:
            try:
                for batch in reader:
                    yield batch.cast(target)
            except (duckdb.Error, pa.ArrowException) as error:
                raise (failure[0] if failure else _meaning(error)) from error
            finally:
                cursor.close()

        return pa.RecordBatchReader.from_batches(target, answer())

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()


def _meaning(error: Exception) -> Exception:
    """Return the error of ours that one of DuckDB's or Arrow's stands for."""
    if OVERFLOW in str(error):
        return QueryEvaluationError(OVERFLOW)
    if isinstance(error, pa.ArrowInvalid | duckdb.ConversionException | duckdb.OutOfRangeException):
        return QueryEvaluationError("a sum is out of range: it does not fit into a bigint")
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
        return MemoryLimitError("the groups or the order of the answer need more memory than there is; ask for fewer rows")
    return error


def _whole_numbers(schema: pa.Schema, wide: set[str]) -> pa.Schema:
    """Return the schema with int64 in place of DuckDB's HUGEINT, the type of its integer sums, save for some columns."""
    return pa.schema(
        [field.with_type(pa.int64()) if pa.types.is_decimal(field.type) and field.name not in wide else field for field in schema]
    )

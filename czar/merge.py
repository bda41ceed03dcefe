"""Combines the rows of chunks in DuckDB: concatenate, group, sort, limit. Expressions are left to PostgreSQL (DESIGN, 5)."""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from czar.shown_sql import amount
from qserv.errors import (
    MemoryLimitError,
    QservError,
    QueryCancelledError,
    QueryEvaluationError,
    TemporarySpaceError,
    TimeLimitError,
    TooManyQueriesError,
)

OVERFLOW = "value out of range: overflow"
"""What PostgreSQL says of a number beyond double precision."""

IN_RANGE = f"""
CREATE MACRO in_range(value, of_finite) AS CASE WHEN of_finite AND NOT ISFINITE(value) THEN ERROR('{OVERFLOW}') ELSE value END
"""
"""A function that statements may call: it ends one whose value is infinite though it is made of finite ones."""

BATCH_ROWS = 20_000
"""Rows of a batch of the answer: a megabyte or some. With five times as many, a sort of 600,000 rows held 40 MB more."""

FEW_BYTES = 1_000_000
"""Rows up to this size cannot take much memory, however they are combined: most queries have fewer."""

LOOK_S = 0.1
"""How often a query that waits for memory looks whether it was given up."""

THREAD_BYTES = 100_000_000
"""Of the memory of a query, for each thread that combines its rows: each has blocks of its own that cannot go to disk."""

FAILURES = (duckdb.Error, pa.ArrowException, OSError)
"""What a statement that DuckDB stops raises: pyarrow makes an error of its own, or an OSError, of one in mid-stream."""


class Merger:
    """Where the queries of a czar combine their rows. Threads share it.

    A DuckDB limits the memory of all that runs in it, not that of one query. So queries with few rows share one, and each with many
    has one of its own for as long as it lasts: it cannot take another's memory, and meets its limit alone. It is not kept for the
    next one: what its threads have freed is given back to the system as it is closed, and to open one takes some 15 ms.

    Parameters
    ----------
    memory_bytes
        What all queries may hold in memory together.
    query_bytes
        The same for one; half of ``memory_bytes`` at the most. Beyond it sorts and groups go to disk.
    temporary_bytes
        What one may have on disk.
    directory
        Where that is.
    """

    def __init__(self, memory_bytes: int, query_bytes: int, temporary_bytes: int, directory: str) -> None:
        self._query_bytes = min(query_bytes, memory_bytes // 2)
        self._temporary_bytes, self._directory = temporary_bytes, Path(directory)
        self._places = memory_bytes // self._query_bytes - 1
        self._free = threading.Semaphore(self._places)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._shared = self._opened()

    def merge(self, limit_s: float | None = None) -> "Merge":
        """Return a place for one query; close it. If it has many rows, it may wait for memory, and is stopped after ``limit_s``;
        without a limit it does not wait.
        """
        return Merge(self, limit_s)

    def close(self) -> None:
        """Let go of the memory that no query uses."""
        self._shared.close()

    def shared(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the database for few rows."""
        with self._lock:
            return self._shared.cursor()

    def take(self, wait_s: float, given_up: threading.Event) -> duckdb.DuckDBPyConnection:
        """Return a new database; `give_back` it.

        Raises
        ------
        TooManyQueriesError
            Others use all that the memory is enough for, and went on for too long.
        QueryCancelledError
            The query was given up meanwhile.
        """
        until_s = time.monotonic() + wait_s
        while not self._free.acquire(timeout=LOOK_S):
            if given_up.is_set():
                raise _given_up()
            if time.monotonic() > until_s:
                msg = f"{self._places} queries combine many rows, for which all the memory is used, and none ended; try again later"
                raise TooManyQueriesError(msg)
        try:
            return self._opened()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, database: duckdb.DuckDBPyConnection) -> None:
        """Close a database; another query may take one."""
        try:
            database.close()
        finally:
            self._free.release()

    def meaning(self, error: Exception) -> Exception:
        """Return the error of ours that one of DuckDB's or Arrow's stands for."""
        text = str(error)
        if OVERFLOW in text:
            return QueryEvaluationError(OVERFLOW)
        if isinstance(error, pa.ArrowInvalid | duckdb.ConversionException | duckdb.OutOfRangeException):
            return QueryEvaluationError("a sum is out of range: it does not fit into a bigint")
        if "max_temp_directory_size" in text:
            msg = (
                f"the groups or the order of the answer need more than {amount(self._temporary_bytes)} of disk; ask for fewer rows"
            )
            return TemporarySpaceError(msg)
        if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException | OSError):
            msg = (
                f"the groups or the order of the answer need more memory than the {amount(self._query_bytes)} that a query may use"
            )
            return MemoryLimitError(f"{msg}; ask for fewer rows")
        return error

    def _opened(self) -> duckdb.DuckDBPyConnection:
        """Return a new database in memory, closed to the outside."""
        database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{self._query_bytes // 1_000_000}MB",
                "threads": max(1, min(len(os.sched_getaffinity(0)), self._query_bytes // THREAD_BYTES)),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                "preserve_insertion_order": "false",
            },
        )
        # In this order: without external access the directory cannot be set, and then nothing can be set at all.
        with self._lock:
            directory = self._directory / str(next(self._numbers))
        database.sql("SET temp_directory = $directory", params={"directory": str(directory)})
        database.sql(f"SET max_temp_directory_size = '{max(1, self._temporary_bytes // 1_000_000)}MB'")
        database.sql("SET enable_external_access = false")
        database.sql("SET lock_configuration = true")
        database.sql(IN_RANGE)
        return database


class Merge:
    """Rows of one query that are combined. One thread works with it at a time; any may close it."""

    def __init__(self, merger: Merger, limit_s: float | None) -> None:
        self._merger, self._wait_s = merger, limit_s or 0.0
        self._until_s = None if limit_s is None else time.monotonic() + limit_s
        self._working = threading.Lock()
        self._given_up = threading.Event()
        self._timer: threading.Timer | None = None
        """Ends what takes too long: a sort of many rows asks nobody for the time."""
        self._is_late = False
        self._own: duckdb.DuckDBPyConnection | None = None
        """A database for this query alone."""
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._failure: list[Exception] = []
        """What reading the rows raised, of which DuckDB makes another error."""

    def combine(
        self, sql: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], wide: Iterable[tuple[str, str]] = ()
    ) -> pa.RecordBatchReader:
        """Return the answer of ``sql`` over relation ``partials``, which the batches are. To be called once.

        Sums of integers come back as int64; those of ``wide``, a column of the answer with one of the partials, as decimal128 with
        38 digits where the latter is of int64: as PostgreSQL's sum of bigint, they need not fit into one.

        Raises
        ------
        QueryEvaluationError
            A sum is out of the range of bigint.
        MemoryLimitError, TemporarySpaceError
            Groups or sorts need more memory or disk than a query may have.
        TooManyQueriesError
            As in `Merger.take`.
        TimeLimitError
            It took longer than the query may.
        Exception
            Whatever reading the batches raised.
        """
        with self._at_work():
            batches = iter(batches)
            first = list(_few(batches))
            if sum(batch.get_total_buffer_size() for batch in first) < FEW_BYTES:
                self._cursor = self._merger.shared()
            else:
                self._own = self._merger.take(self._wait_s, self._given_up)
                self._cursor = self._own.cursor()
                self._limit()
            rows = pa.RecordBatchReader.from_batches(schema, self._watched(first, batches))
            self._cursor.register("partials", rows)
            reader = self._cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
        target = _whole_numbers(reader.schema, {name for name, partial in wide if schema.field(partial).type == pa.int64()})

        def answer() -> Iterator[pa.RecordBatch]:
            while True:
                with self._at_work():
                    batch = next(reader, None)
                    if batch is None:
                        self._end()
                        return
                    batch = batch.cast(target)
                yield batch

        return pa.RecordBatchReader.from_batches(target, answer())

    def close(self) -> None:
        """Let go of the memory; a statement that runs is stopped."""
        self._given_up.set()
        if self._working.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._working.release()
        elif (cursor := self._cursor) is not None:
            # The thread that is at work learns of it, and lets go of the memory.
            cursor.interrupt()

    def _limit(self) -> None:
        if self._until_s is not None:
            self._timer = threading.Timer(max(0.0, self._until_s - time.monotonic()), self._end_late)
            self._timer.daemon = True
            self._timer.start()

    def _end_late(self) -> None:
        self._is_late = True
        self.close()

    def _check(self) -> None:
        if self._given_up.is_set():
            raise self._stopped()

    def _stopped(self) -> QservError:
        if self._is_late:
            return TimeLimitError("the query ran longer than its time limit; restrict it further, or raise the limit")
        return _given_up()

    def _watched(self, first: list[pa.RecordBatch], others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the nodes; note why they end early, because DuckDB tells it in words of its own."""
        try:
            yield from first
            first.clear()
            for batch in others:
                self._check()  # a statement that has not begun does not hear that it is interrupted
                yield batch
            self._check()
        except Exception as error:
            self._failure.append(error)
            raise

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._working:
            self._check()
            try:
                yield
            except FAILURES as error:
                self._end()
                if self._failure:
                    raise self._failure[0] from error
                raise (self._stopped() if self._given_up.is_set() else self._merger.meaning(error)) from error
            except BaseException:
                self._end()
                raise
            if self._given_up.is_set():
                self._end()

    def _end(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()
        if self._timer is not None:
            self._timer.cancel()
        own, self._own = self._own, None
        if own is not None:
            self._merger.give_back(own)


def _few(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches until they are more than few."""
    size_bytes = 0
    for batch in batches:
        yield batch
        size_bytes += batch.get_total_buffer_size()  # a fraction of what `nbytes` costs
        if size_bytes >= FEW_BYTES:
            return


def _whole_numbers(schema: pa.Schema, wide: set[str]) -> pa.Schema:
    """Return the schema with int64 in place of DuckDB's HUGEINT, the type of its integer sums, save for some columns; and with the
    name that Arrow gives the elements of lists.
    """
    return pa.schema([field if field.name in wide else field.with_type(_plain(field.type)) for field in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(kind.value_type)
    return pa.int64() if pa.types.is_decimal(kind) else kind


def _given_up() -> QueryCancelledError:
    return QueryCancelledError("the query was given up before its end")

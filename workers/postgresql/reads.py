"""Chunk queries on PostgreSQL: SQL in, Arrow record batches out, by binary COPY through ADBC."""

import math
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import pyarrow as pa

# The reader below is not exported by the driver manager, but only it tells the SQLSTATE of an error in the middle of a stream:
# pyarrow's own raises OSError with nothing but text.
from adbc_driver_manager._reader import AdbcRecordBatchReader

from qserv.errors import NodeUnavailableError, QservError, QueryLimitError
from workers.postgresql.connections import Pool
from workers.postgresql.failures import connection_lost, query_error
from workers.stop import Stop

BATCH_HINT_BYTES: Final = 4 << 20
"""Size of a batch that ADBC aims at, counted in COPY's bytes. Its default, 16 MiB, delays the first rows and spoils caches."""

RECYCLE_RELATIONS: Final = 2_000
"""Distinct tables after which a connection is replaced: a backend that touched 20,000 holds 600 MB (DESIGN, section 4)."""

_SESSION: Final = "-c jit=off -c default_transaction_read_only=on -c timezone=UTC"
"""JIT does not pay on chunks (measured, DESIGN section 11); times are kept without zone, so every node must agree on one."""

_KEEPALIVE: Final = "keepalives_idle=30&keepalives_interval=10&keepalives_count=3"
"""A node that vanishes is noticed within a minute, instead of after the system's two hours."""


class _IdleConnectionLostError(NodeUnavailableError):
    """A connection broke while it was idle: PostgreSQL was restarted. A new one may serve."""


class ReadConnection:
    """A connection for chunk queries, one at a time."""

    def __init__(self, database: adbc.AdbcDatabase) -> None:
        try:
            self._connection = adbc.AdbcConnection(database)
        except adbc.Error as error:
            # Refused before there is a session: whatever the reason, this node cannot answer.
            raise query_error(None, _message(error)) from error
        self._timeout_ms = 0
        self.used = False
        """Whether a query was answered on it before."""
        self._relations: set[str] = set()
        self.broken = False
        """Set while a query runs on it: only one that was read to its end leaves the connection fit for another."""

    @property
    def worn(self) -> bool:
        """Whether the connection must not be used again."""
        return self.broken or len(self._relations) > RECYCLE_RELATIONS

    def start(self, sql: str, relations: Iterable[str], timeout_ms: int) -> tuple[adbc.AdbcStatement, AdbcRecordBatchReader]:
        """Send a query; rows can be read from what is returned. PostgreSQL cancels it after `timeout_ms`."""
        self.broken = True
        self._relations.update(relations)
        if timeout_ms != self._timeout_ms:
            statement, reader = self._execute(f"SET statement_timeout = {timeout_ms}")
            reader.close()
            statement.close()
            self._timeout_ms = timeout_ms
        return self._execute(sql)

    def cancel(self) -> None:
        """Ask PostgreSQL to stop what runs on this connection. Any thread may call it."""
        try:
            self._connection.cancel()
        except adbc.Error:
            # The server is gone, or the query has just ended: its own thread learns which.
            return

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _execute(self, sql: str) -> tuple[adbc.AdbcStatement, AdbcRecordBatchReader]:
        statement = adbc.AdbcStatement(self._connection)
        try:
            statement.set_options(**{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_HINT_BYTES)})
            statement.set_sql_query(sql)
            handle, _ = statement.execute_query()
            return statement, AdbcRecordBatchReader._import_from_c(handle.address)  # noqa: SLF001 (its only constructor)
        except BaseException:
            statement.close()
            raise


class ChunkRows:
    """The answer to one chunk query, being read. Its first batch is there already."""

    def __init__(self, reads: "Reads", connection: ReadConnection, listening: int, stop: Stop) -> None:
        self._reads = reads
        self._connection = connection
        self._listening = listening
        self._stop = stop
        self._statement: adbc.AdbcStatement | None = None
        self._reader: AdbcRecordBatchReader | None = None
        self._first: pa.RecordBatch | None = None
        self._closed = False
        self.schema = pa.schema([])
        """Schema of the rows, in plain Arrow types."""

    def begin(self, sql: str, relations: Iterable[str], timeout_ms: int) -> None:
        """Run the query and read its first batch."""
        try:
            self._statement, self._reader = self._connection.start(sql, relations, timeout_ms)
            self.schema = plain_schema(self._reader.schema)
            self._first = self._next()
        except (adbc.Error, OSError) as error:
            raise self._meaning(error) from error

    def batches(self) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Yield the rows and whether a batch is the last one. There is at least one batch; the last may be empty."""
        batch, self._first = self._first, None
        if batch is None:
            yield pa.RecordBatch.from_pylist([], self.schema), True
        try:
            while batch is not None:
                following = self._next()
                yield plain_batch(batch, self.schema), following is None
                batch = following
        except (adbc.Error, OSError) as error:
            raise self._meaning(error) from error

    def close(self) -> None:
        """Give the connection back; a query that still runs is cancelled."""
        if self._closed:
            return
        self._closed = True
        if self._connection.broken:
            self._connection.cancel()
        self._stop.remove(self._listening)
        if self._reader is not None:
            self._reader.close()
        if self._statement is not None:
            self._statement.close()
        self._reads.pool.give_back(self._connection)

    def _next(self) -> pa.RecordBatch | None:
        """Return the next batch, None after the last."""
        reader = self._reader
        if reader is None:
            return None
        try:
            return reader.read_next_batch()
        except StopIteration:
            self._reader = None
            reader.close()
            # A cancel that came too late for this query could still hit the next one of this connection.
            self._connection.broken = self._stop.reason is not None
            self._connection.used = True
            return None

    def _meaning(self, error: Exception) -> QservError:
        if self._stop.reason is not None:
            return self._stop.reason
        sqlstate = getattr(error, "sqlstate", None)
        return query_error(sqlstate, _message(error))


class Reads:
    """Chunk queries on the PostgreSQL beside this worker.

    Parameters
    ----------
    conninfo
        libpq URI of the reading role; it holds the password.
    connections
        Most of them at a time.
    """

    def __init__(self, conninfo: str, connections: int) -> None:
        options = f"application_name=qserv-worker&connect_timeout=5&{_KEEPALIVE}&options={quote(_SESSION)}"
        self._uri = f"{conninfo}{'&' if '?' in conninfo else '?'}{options}"
        self._database: adbc.AdbcDatabase | None = None
        self._making_database = threading.Lock()
        self.pool = Pool(self._connect, connections)

    def _connect(self) -> ReadConnection:
        """Open a connection of the worker's one `AdbcDatabase`: making one reads the whole catalogue, seconds on a full node."""
        with self._making_database:
            if self._database is None:
                try:
                    self._database = adbc_driver_postgresql.connect(self._uri)
                except adbc.Error as error:
                    raise query_error(None, _message(error)) from error
        return ReadConnection(self._database)

    def open(self, sql: str, relations: Iterable[str], deadline_s: float, stop: Stop) -> ChunkRows:
        """Run a chunk query and wait for its first batch.

        Parameters
        ----------
        sql
            A SELECT.
        relations
            Physical tables in it.
        deadline_s
            On the clock of `time.monotonic`.
        stop
            Cancels it, while it is waited for or read.

        Raises
        ------
        QservError
            The query failed, was stopped or took too long.
        """
        stop.check()
        try:
            return self._open(sql, relations, deadline_s, stop)
        except _IdleConnectionLostError:
            self.pool.forget_idle()
            return self._open(sql, relations, deadline_s, stop)

    def _open(self, sql: str, relations: Iterable[str], deadline_s: float, stop: Stop) -> ChunkRows:
        timeout_ms = remaining_ms(deadline_s - time.monotonic())
        connection = self.pool.take()
        used_before = connection.used
        try:
            listening = stop.add(connection.cancel)
        except BaseException:
            self.pool.give_back(connection)
            raise
        rows = ChunkRows(self, connection, listening, stop)
        try:
            rows.begin(sql, relations, timeout_ms)
        except NodeUnavailableError as error:
            rows.close()
            if used_before and connection_lost(getattr(error.__cause__, "sqlstate", None)):
                raise _IdleConnectionLostError(str(error)) from error
            raise
        except BaseException:
            rows.close()
            raise
        return rows

    def close(self) -> None:
        """End the idle connections."""
        self.pool.close()
        if self._database is not None:
            self._database.close()


def remaining_ms(remaining_s: float) -> int:
    """Return a statement time-out, ms; above a second in whole seconds, so that not every chunk of a query has to set it anew.

    Raises
    ------
    QueryLimitError
        Nothing remains.
    """
    if remaining_s <= 0:
        msg = "the query ran longer than its time limit; restrict it further, or raise the limit"
        raise QueryLimitError(msg)
    return max(1, math.ceil(remaining_s * 1000)) if remaining_s < 1 else math.ceil(remaining_s) * 1000


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema without extension types.

    ADBC wraps ``numeric`` (as text), ``json`` and ``uuid`` in extension types that readers on the other side may not know: what
    remains is their storage, utf8 for ``json``. ``numeric`` becomes float64, because no answer is of that type.
    Of the metadata only ``POSTGRESQL:type`` is kept.
    """
    return pa.schema([_plain_field(field) for field in schema])


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the types that `plain_schema` left."""
    columns = [
        column.storage.cast(field.type) if isinstance(column, pa.ExtensionArray) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


_TYPE_NAME = b"POSTGRESQL:type"


def _plain_field(field: pa.Field) -> pa.Field:
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if isinstance(field.type, pa.OpaqueType) and field.type.type_name == "numeric":
        kind = pa.float64()
    name = (field.metadata or {}).get(_TYPE_NAME)
    return pa.field(field.name, kind, metadata={_TYPE_NAME: name} if name else None)


def _message(error: Exception) -> str:
    """Return PostgreSQL's primary message where the driver kept it, else the driver's first line."""
    details: list[tuple[str | bytes, bytes]] = getattr(error, "details", None) or []
    for key, value in details:
        if key in {"PG_DIAG_MESSAGE_PRIMARY", b"PG_DIAG_MESSAGE_PRIMARY"}:
            return value.decode(errors="replace")
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""Chunk queries on PostgreSQL: SQL in, Arrow record batches out."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

import psycopg
import pyarrow as pa

from qserv.errors import NodeUnavailableError, QservError, QueryLimitError
from workers.postgresql.connections import Pool
from workers.postgresql.failures import connection_lost, query_error
from workers.postgresql.stream import PARAMETERS, RowStream
from workers.postgresql.wire import ServerError
from workers.stop import Stop

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

    def __init__(self, uri: str) -> None:
        try:
            self._stream = RowStream(psycopg.connect(uri, autocommit=True))
        except psycopg.Error as error:
            # Refused before there is a session: whatever the reason, this node cannot answer.
            raise query_error(None, _first_line(error)) from error
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

    def start(self, sql: str, relations: Iterable[str], timeout_ms: int) -> pa.Schema:
        """Send a query; return the schema of its rows. PostgreSQL cancels it after `timeout_ms`."""
        self.broken = True
        self._relations.update(relations)
        before = [] if timeout_ms == self._timeout_ms else [f"SET statement_timeout = {timeout_ms}"]
        schema = self._stream.begin(sql, before=before)
        self._timeout_ms = timeout_ms
        return schema

    def next_batch(self) -> pa.RecordBatch | None:
        """Return the next rows, None after the last."""
        return self._stream.next_batch()

    def finish(self, stop: Stop) -> None:
        """Note that a query was read to its end."""
        self.used = True
        # A cancel that came too late for this query could still hit the next one of this connection.
        self.broken = stop.reason is not None

    def cancel(self) -> None:
        """Ask PostgreSQL to stop what runs on this connection. Any thread may call it."""
        self._stream.cancel()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()


class ChunkRows:
    """The answer to one chunk query, being read. Its first batch is there already."""

    def __init__(self, reads: "Reads", connection: ReadConnection, listening: int, stop: Stop) -> None:
        self._reads = reads
        self._connection = connection
        self._listening = listening
        self._stop = stop
        self._first: pa.RecordBatch | None = None
        self._closed = False
        self.schema = pa.schema([])
        """Schema of the rows."""

    def begin(self, sql: str, relations: Iterable[str], timeout_ms: int) -> None:
        """Run the query and read its first batch."""
        try:
            self.schema = self._connection.start(sql, relations, timeout_ms)
            self._first = self._next()
        except ServerError as error:
            raise self._meaning(error) from error

    def batches(self) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Yield the rows and whether a batch is the last one. There is at least one batch; the last may be empty."""
        batch, self._first = self._first, None
        if batch is None:
            yield pa.RecordBatch.from_pylist([], self.schema), True
        try:
            while batch is not None:
                following = self._next()
                yield batch, following is None
                batch = following
        except ServerError as error:
            raise self._meaning(error) from error

    def close(self) -> None:
        """Give the connection back; a query that still runs is cancelled."""
        if self._closed:
            return
        self._closed = True
        if self._connection.broken:
            self._connection.cancel()
        self._stop.remove(self._listening)
        self._reads.pool.give_back(self._connection)

    def _next(self) -> pa.RecordBatch | None:
        """Return the next batch, None after the last."""
        batch = self._connection.next_batch()
        if batch is None:
            self._connection.finish(self._stop)
        return batch

    def _meaning(self, error: ServerError) -> QservError:
        return self._stop.reason or query_error(error.sqlstate, str(error))


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
        options = f"application_name=qserv-worker&connect_timeout=5&{_KEEPALIVE}&{PARAMETERS}&options={quote(_SESSION)}"
        self._uri = f"{conninfo}{'&' if '?' in conninfo else '?'}{options}"
        self.pool = Pool(lambda: ReadConnection(self._uri), connections)

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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""Computes in PostgreSQL what is left of a query, over rows from the nodes: temporary tables in the scratch database."""

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import adbc_driver_manager
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from czar.limits import TOO_LARGE, guarded_insert, step_size_error
from czar.scratch_failures import FAILURES, meaning, message_of
from czar.scratch_rows import watched
from czar.scratch_watch import Watch
from czar.steps.intermediate import NUMERIC, NUMERICS, arrays_of
from qserv.errors import MetadataError, QueryCancelledError
from qserv.metadata.silence import SILENCE_S
from schema.physical import quote
from workers.functions import install
from workers.postgresql.plain import plain_batch, plain_schema

NO_ANSWER = "the scratch database does not answer; is the cluster up (`qserv status`)?"

BATCH_BYTES: Final = 4 * 2**20
"""Rows that are read at a time. An answer of long texts is there several times, as rows, encoded, and on its way: that took 68 MB
with the driver's own 16 MiB, and takes 20."""

IDLE_CONNECTIONS = 4
"""Connections kept for the next query; opening one takes some 10 ms."""


@dataclass(frozen=True)
class Link:
    """A connection, and its port here, by which it is watched."""

    connection: dbapi.Connection
    port: int


class Scratch:
    """The scratch database. Threads may share it.

    Parameters
    ----------
    uri
        libpq URI of the role that computes; it may make temporary tables and nothing that lasts.
    owner_uri
        Of the role that owns the database, for `prepare`.
    silence_s
        Seconds without an answer after which the server is asked whether it lives.
    """

    def __init__(self, uri: str, owner_uri: str, silence_s: float = SILENCE_S) -> None:
        self._owner_uri = owner_uri
        self.watch = Watch(uri, silence_s)
        self._idle: queue.LifoQueue[Link] = queue.LifoQueue(IDLE_CONNECTIONS)
        self._closed = False

    def prepare(self) -> None:
        """Give the database the functions of the nodes.

        Raises
        ------
        MetadataError
            The scratch database does not answer.
        """
        try:
            with psycopg.connect(self._owner_uri) as connection, self.watch.waiting(_port(connection)):
                install(connection)
        except psycopg.OperationalError as error:
            raise MetadataError(NO_ANSWER) from error

    def workspace(self, timeout_s: float) -> "Workspace":
        """Return tables of one query's own; close it.

        Raises
        ------
        MetadataError
            The scratch database does not answer.
        """
        while True:
            link, is_new = self._take()
            try:
                return Workspace(self, link, timeout_s)
            except MetadataError:
                # A server that was restarted has ended the idle connections; each is tried once.
                if is_new:
                    raise

    def close(self) -> None:
        """Close the idle connections, and each other one when it is given back."""
        self._closed = True
        self.watch.close()
        self._close_idle()

    def give_back(self, link: Link) -> None:
        """Keep a connection, without what was made on it, for the next query."""
        try:
            with self.watch.waiting(link.port):
                link.connection.rollback()
            self._idle.put_nowait(link)
        except FAILURES:
            _discard(link.connection)
        except queue.Full:
            link.connection.close()
        if self._closed:
            self._close_idle()

    def _close_idle(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().connection.close()

    def _take(self) -> tuple[Link, bool]:
        """Return a connection, and whether it is a new one."""
        try:
            return self._idle.get_nowait(), False
        except queue.Empty:
            pass
        try:
            connection = dbapi.connect(self.watch.uri)
        except adbc_driver_manager.Error as error:
            raise MetadataError(NO_ANSWER) from error
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT inet_client_port()")
                (port,) = cursor.fetchone() or (0,)
            connection.rollback()
        except FAILURES as error:
            _discard(connection)
            raise MetadataError(NO_ANSWER) from error
        return Link(connection, port), True


@dataclass(frozen=True)
class Made:
    """A table of the scratch database: its rows, its bytes on disk, and its columns that are arrays."""

    rows: int
    size_bytes: int
    arrays: list[str]


class Workspace:
    """Temporary tables of one query, on one connection. One thread works with it at a time; any may close it."""

    def __init__(self, scratch: Scratch, link: Link, timeout_s: float) -> None:
        self._scratch, self._link, self._connection = scratch, link, link.connection
        self._working = threading.Lock()
        self._closed = False
        self._cursor: dbapi.Cursor | None = None
        self._loaded: set[str] = set()
        self._indexed: set[tuple[str, tuple[str, ...]]] = set()
        with self._at_work() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}")

    def load(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Make a table of rows, unless it is there already.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped.
        Exception
            Whatever reading the batches raised.
        """
        if name in self._loaded:
            return
        failure: list[Exception] = []
        with self._at_work(failure) as cursor:
            rows = pa.RecordBatchReader.from_batches(schema, watched(batches, failure))
            cursor.adbc_ingest(name, rows, mode="create", temporary=True)
            for column in schema:
                if column.type in {NUMERIC, NUMERICS}:
                    kind = "NUMERIC" if column.type == NUMERIC else "NUMERIC[]"
                    cursor.execute(
                        f"ALTER TABLE {quote(name)} ALTER {quote(column.name)} TYPE {kind} USING {quote(column.name)}::{kind}"
                    )
            cursor.execute(f"ANALYZE {quote(name)}")
        self._loaded.add(name)

    def make(self, name: str, sql: str, columns: Sequence[str], limit_bytes: int) -> Made:
        """Make a table of what a statement answers.

        Raises
        ------
        StepSizeError
            It would be larger than ``limit_bytes``.
        QueryEvaluationError
            PostgreSQL stopped.
        """
        failure: list[Exception] = []
        with self._at_work(failure) as cursor:
            names = ", ".join(map(quote, columns))
            cursor.execute(f"CREATE TEMPORARY TABLE {quote(name)} ({names}) AS {sql} WITH NO DATA")
            try:
                cursor.execute(guarded_insert(name, sql, limit_bytes))
            except adbc_driver_manager.Error as error:
                if TOO_LARGE in message_of(error):  # the whole text has the statement, too
                    failure.append(step_size_error(limit_bytes))
                raise
            cursor.execute(f"ANALYZE {quote(name)}")
            cursor.execute(f"SELECT pg_table_size('pg_temp.{quote(name)}'::regclass), count(*) FROM {quote(name)}")  # noqa: S608 (quoted)
            size_bytes, rows = cursor.fetchone() or (0, 0)
            cursor.execute(f"SELECT * FROM {quote(name)} LIMIT 0")  # noqa: S608 (quoted)
            arrays = arrays_of(cursor.fetch_arrow_table().schema)
        self._loaded.add(name)
        if size_bytes > limit_bytes:
            raise step_size_error(limit_bytes)
        return Made(rows, size_bytes, arrays)

    def index(self, name: str, columns: tuple[str, ...]) -> None:
        """Let rows of a table be found by the values of some columns.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped.
        """
        if (name, columns) in self._indexed:
            return
        with self._at_work() as cursor:
            cursor.execute(f"CREATE INDEX ON {quote(name)} ({', '.join(map(quote, columns))})")
        self._indexed.add((name, columns))

    def text_bytes(self, name: str) -> int:
        """Return the bytes of a table's rows as texts. Its size on disk counts long texts and numbers as they are compressed."""
        with self._at_work() as cursor:
            cursor.execute(f"SELECT COALESCE(SUM(OCTET_LENGTH(CAST(ROW(t.*) AS TEXT))), 0) FROM {quote(name)} AS t")  # noqa: S608 (quoted)
            (size_bytes,) = cursor.fetchone() or (0,)
        return int(size_bytes)

    def read(self, name: str) -> pa.Table:
        """Return a table with the types of a step's rows: numeric with all its digits."""
        with self._at_work() as cursor:
            described = cursor.adbc_execute_schema(f"SELECT * FROM {quote(name)}")  # noqa: S608 (quoted)
        numeric = {column.name: _DIGITS[kind] for column in described if (kind := _postgres_type(column)) in _DIGITS}
        shown = [f"{quote(column)}::{numeric[column][0]}" if column in numeric else quote(column) for column in described.names]
        found = self.ask(f"SELECT {', '.join(shown)} FROM {quote(name)}").read_all()  # noqa: S608 (quoted)
        types = [
            numeric[column.name][1] if column.name in numeric else kind
            for column, kind in zip(described, found.schema.types, strict=True)
        ]
        return found.cast(pa.schema(list(zip(described.names, types, strict=True))))

    def ask(self, sql: str, *, is_shown: bool = False) -> pa.RecordBatchReader:
        """Return what a statement answers. Read it to its end, or close the workspace.

        Parameters
        ----------
        sql
            The statement.
        is_shown
            Whether its rows are those of an answer, in which an interval is a text: Arrow's have less than 293 years in hours.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped, such as by a division by zero.
        """
        with self._at_work() as cursor:
            cursor.execute(_carried(sql, cursor.adbc_execute_schema(sql), _SHOWN if is_shown else _COMPUTED))
            reader = cursor.fetch_record_batch()
            schema = plain_schema(reader.schema)

        def answer() -> Iterator[pa.RecordBatch]:
            while True:
                with self._at_work():
                    batch = next(reader, None)
                if batch is None:
                    return
                yield plain_batch(batch, schema)

        return pa.RecordBatchReader.from_batches(schema, answer())

    def close(self) -> None:
        """Drop the tables; a statement that runs is cancelled. Does not wait for the server."""
        if self._working.acquire(blocking=False):
            _beside(self._end)
            return
        # The thread that is at work learns of it, and lets go of the connection.
        self._closed = True
        _beside(self._cancel)

    def _end(self) -> None:
        try:
            if not self._closed:
                self._closed = True
                self._dispose()
        finally:
            self._working.release()

    def _cancel(self) -> None:
        with contextlib.suppress(*FAILURES):
            self._connection.adbc_cancel()

    def _dispose(self) -> None:
        if self._cursor is not None:
            with contextlib.suppress(*FAILURES):
                self._cursor.close()
        self._scratch.give_back(self._link)

    @contextlib.contextmanager
    def _at_work(self, failure: Sequence[Exception] = ()) -> Iterator[dbapi.Cursor]:
        with self._working:
            if self._closed:
                raise _given_up()
            try:
                with self._scratch.watch.waiting(self._link.port):
                    self._cursor = self._cursor or self._opened()
                    yield self._cursor
            except FAILURES as error:
                given_up = self._closed
                self._closed = True
                _discard(*([self._cursor] if self._cursor else []), self._connection)
                if given_up:
                    raise _given_up() from error
                raise (failure[0] if failure else meaning(error)) from error
            self._end_if_closed()

    def _opened(self) -> dbapi.Cursor:
        cursor = self._connection.cursor()
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        return cursor

    def _end_if_closed(self) -> None:
        if self._closed:
            self._dispose()
            raise _given_up()


_DIGITS: Final = {"numeric": ("text", NUMERIC), "_numeric": ("text[]", NUMERICS)}
"""What numbers with all their digits are read as: in PostgreSQL, and in Arrow."""


_COMPUTED: Final = {"_numeric": "{}::double precision[]"}
"""What is read of values that are computed with, by PostgreSQL's types."""

_SHOWN: Final = _COMPUTED | {"interval": "qserv.iso_text({})", "_interval": "qserv.iso_text({})"}
"""The same of those that are shown."""


def _postgres_type(column: pa.Field) -> str:
    name: bytes = (column.metadata or {}).get(b"POSTGRESQL:type", b"")
    return name.decode()


def _carried(sql: str, schema: pa.Schema, forms: Mapping[str, str]) -> str:
    """Return a statement whose values have the forms of their types, and whose arrays are such as lists can hold, where ADBC would
    make one dimension of several.
    """
    items = []
    for column in schema:
        name = quote(column.name)
        value = forms.get(_postgres_type(column), "{}").replace("{}", name)
        value = f"qserv.as_list({value})" if pa.types.is_list(column.type) else value
        items.append(value if value == name else f"{value} AS {name}")
    if all(item == quote(name) for item, name in zip(items, schema.names, strict=True)):
        return sql
    return f"SELECT {', '.join(items)} FROM ({sql}) AS answer"  # noqa: S608 (quoted names, and a statement of ours)


def _beside(function: Callable[[], None]) -> None:
    """Run what waits for the server in a thread of its own: who closes a query may be the loop that serves all others."""
    threading.Thread(target=function, name="scratch-end", daemon=True).start()


def _port(connection: psycopg.Connection) -> int:
    with socket.socket(fileno=os.dup(connection.fileno())) as opened:
        return int(opened.getsockname()[1])


def _given_up() -> QueryCancelledError:
    return QueryCancelledError("the query was given up before its end")


def _discard(*parts: dbapi.Cursor | dbapi.Connection) -> None:
    """Close a connection after an error; the next query gets another one."""
    for part in parts:
        with contextlib.suppress(*FAILURES):
            part.close()

"""Statements of queries on the metadata server, beside the nodes': connections to one of its databases, kept for the next query."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from czar.server_watch import Watch
from czar.statement_failures import FAILURES, meaning
from qserv.errors import MetadataError, QueryCancelledError
from qserv.metadata.silence import SILENCE_S
from schema.physical import quote
from workers.postgresql.plain import plain_batch, plain_schema

Made = TypeVar("Made")

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


class Connections:
    """Connections to a database. Threads may share it.

    Parameters
    ----------
    uri
        libpq URI, with the role that asks.
    silence_s
        Seconds without an answer after which the server is asked whether it lives.
    name
        Of the database, for messages: ``scratch`` or ``metadata``.
    """

    def __init__(self, uri: str, silence_s: float = SILENCE_S, name: str = "scratch") -> None:
        self.name = name
        self.watch = Watch(uri, silence_s)
        self._idle: queue.LifoQueue[Link] = queue.LifoQueue(IDLE_CONNECTIONS)
        self._closed = False

    def statements(self, timeout_s: float) -> "Statements":
        """Return statements of one query; close them.

        Raises
        ------
        MetadataError
            The database does not answer.
        """
        return self.lent(partial(Statements, self, timeout_s=timeout_s))

    def lent(self, make: Callable[[Link], Made]) -> Made:
        """Return what is made with a connection.

        Raises
        ------
        MetadataError
            The database does not answer.
        """
        while True:
            link, is_new = self._take()
            try:
                return make(link)
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

    def no_answer(self) -> MetadataError:
        """Return what to say of a database that does not answer."""
        return MetadataError(f"the {self.name} database does not answer; is the cluster up (`qserv status`)?")

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
            raise self.no_answer() from error
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT inet_client_port()")
                (port,) = cursor.fetchone() or (0,)
            connection.rollback()
        except FAILURES as error:
            _discard(connection)
            raise self.no_answer() from error
        return Link(connection, port), True


class Statements:
    """Statements of one query, on one connection. One thread works with it at a time; any may close it."""

    def __init__(self, connections: Connections, link: Link, timeout_s: float) -> None:
        self._connections, self._link, self._connection = connections, link, link.connection
        self._working = threading.Lock()
        self._closed = False
        self._cursor: dbapi.Cursor | None = None
        with self._at_work() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(timeout_s * 1000))}")

    def ask(self, sql: str, *, is_shown: bool = False) -> pa.RecordBatchReader:
        """Return what a statement answers. Read it to its end, or close this.

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
        """Drop what was made; a statement that runs is cancelled. Does not wait for the server."""
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
        self._connections.give_back(self._link)

    @contextlib.contextmanager
    def _at_work(self, failure: Sequence[Exception] = ()) -> Iterator[dbapi.Cursor]:
        with self._working:
            if self._closed:
                raise _given_up()
            try:
                with self._connections.watch.waiting(self._link.port):
                    self._cursor = self._cursor or self._opened()
                    yield self._cursor
            except FAILURES as error:
                given_up = self._closed
                self._closed = True
                _discard(*([self._cursor] if self._cursor else []), self._connection)
                if given_up:
                    raise _given_up() from error
                raise (failure[0] if failure else meaning(error, self._connections.name)) from error
            self._end_if_closed()

    def _opened(self) -> dbapi.Cursor:
        cursor = self._connection.cursor()
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        return cursor

    def _end_if_closed(self) -> None:
        if self._closed:
            self._dispose()
            raise _given_up()


_COMPUTED: Final = {"_numeric": "{}::double precision[]"}
"""What is read of values that are computed with, by PostgreSQL's types."""

_SHOWN: Final = _COMPUTED | {"interval": "qserv.iso_text({})", "_interval": "qserv.iso_text({})"}
"""The same of those that are shown."""


def postgres_type(column: pa.Field) -> str:
    """Return the name of the type that PostgreSQL says a column has."""
    name: bytes = (column.metadata or {}).get(b"POSTGRESQL:type", b"")
    return name.decode()


def _carried(sql: str, schema: pa.Schema, forms: Mapping[str, str]) -> str:
    """Return a statement whose values have the forms of their types, and whose arrays are such as lists can hold, where ADBC would
    make one dimension of several.
    """
    items = []
    for column in schema:
        name = quote(column.name)
        value = forms.get(postgres_type(column), "{}").replace("{}", name)
        value = f"qserv.as_list({value})" if pa.types.is_list(column.type) else value
        items.append(value if value == name else f"{value} AS {name}")
    if all(item == quote(name) for item, name in zip(items, schema.names, strict=True)):
        return sql
    return f"SELECT {', '.join(items)} FROM ({sql}) AS answer"  # noqa: S608 (quoted names, and a statement of ours)


def _beside(function: Callable[[], None]) -> None:
    """Run what waits for the server in a thread of its own: who closes a query may be the loop that serves all others."""
    threading.Thread(target=function, name="statement-end", daemon=True).start()


def _given_up() -> QueryCancelledError:
    return QueryCancelledError("the query was given up before its end")


def _discard(*parts: dbapi.Cursor | dbapi.Connection) -> None:
    """Close a connection after an error; the next query gets another one."""
    for part in parts:
        with contextlib.suppress(*FAILURES):
            part.close()

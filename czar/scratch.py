"""Computes final expressions in PostgreSQL, over combined rows: temporary tables in the scratch database."""

import contextlib
import queue
from collections.abc import Iterator

import adbc_driver_manager
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from qserv.errors import MetadataError, QueryEvaluationError
from workers.functions import install
from workers.postgresql.plain import plain_batch, plain_schema

NO_ANSWER = "the scratch database does not answer; is the cluster up (`qserv status`)?"

FAILURES = (adbc_driver_manager.Error, pa.ArrowException, OSError)
"""What a statement that PostgreSQL stops raises: pyarrow makes an error of its own, or an OSError, of one in mid-stream."""

IDLE_CONNECTIONS = 4
"""Connections kept for the next query; opening one takes some 10 ms."""


class Scratch:
    """The scratch database. Threads may share it.

    Parameters
    ----------
    uri
        libpq URI of the role that computes; it may make temporary tables and nothing that lasts.
    owner_uri
        Of the role that owns the database, for `prepare`.
    """

    def __init__(self, uri: str, owner_uri: str) -> None:
        self._uri, self._owner_uri = uri, owner_uri
        self._idle: queue.LifoQueue[dbapi.Connection] = queue.LifoQueue(IDLE_CONNECTIONS)

    def prepare(self) -> None:
        """Give the database the functions of the nodes.

        Raises
        ------
        MetadataError
            The scratch database does not answer.
        """
        try:
            with psycopg.connect(self._owner_uri) as connection:
                install(connection)
        except psycopg.OperationalError as error:
            raise MetadataError(NO_ANSWER) from error

    def finish(self, sql: str, merged: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Return the answer of ``sql`` over temporary table ``merged``.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped, such as by a division by zero.
        MetadataError
            The scratch database does not answer.
        """
        connection = self._take()
        cursor = connection.cursor()
        try:
            cursor.adbc_ingest("merged", merged, mode="create", temporary=True)
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
            schema = plain_schema(reader.schema)
        except FAILURES as error:
            _discard(cursor, connection)
            raise QueryEvaluationError(_message(error)) from error

        def answer() -> Iterator[pa.RecordBatch]:
            try:
                for batch in reader:
                    yield plain_batch(batch, schema)
                cursor.close()
                connection.rollback()
                self._idle.put_nowait(connection)
            except FAILURES as error:
                _discard(cursor, connection)
                raise QueryEvaluationError(_message(error)) from error
            except queue.Full:
                connection.close()

        return pa.RecordBatchReader.from_batches(schema, answer())

    def close(self) -> None:
        """Close the idle connections."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _take(self) -> dbapi.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        try:
            return dbapi.connect(self._uri)
        except adbc_driver_manager.Error as error:
            raise MetadataError(NO_ANSWER) from error


def _discard(cursor: dbapi.Cursor, connection: dbapi.Connection) -> None:
    """Close a connection after an error; the next query gets another one."""
    for part in (cursor, connection):
        with contextlib.suppress(*FAILURES):
            part.close()


def _message(error: Exception) -> str:
    """Return PostgreSQL's own sentence out of ADBC's or Arrow's."""
    text = str(error)
    return text.split("ERROR:", 1)[-1].split("\n", 1)[0].strip() if "ERROR:" in text else text.split("\n", 1)[0]

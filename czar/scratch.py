"""Computes final expressions in PostgreSQL, over combined rows: temporary tables in the scratch database."""

import queue
from collections.abc import Iterator

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from qserv.errors import MetadataError, QueryEvaluationError

IDLE_CONNECTIONS = 4
"""Connections kept for the next query; opening one takes some 10 ms."""


class Scratch:
    """The scratch database. Threads may share it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._idle: queue.LifoQueue[dbapi.Connection] = queue.LifoQueue(IDLE_CONNECTIONS)

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
        try:
            cursor = connection.cursor()
            cursor.adbc_ingest("merged", merged, mode="create", temporary=True)
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
        except adbc_driver_manager.Error as error:
            connection.close()
            raise QueryEvaluationError(_message(error)) from error

        def answer() -> Iterator[pa.RecordBatch]:
            try:
                yield from reader
                cursor.close()
                connection.rollback()
                self._idle.put_nowait(connection)
            except adbc_driver_manager.Error as error:
                connection.close()
                raise QueryEvaluationError(_message(error)) from error
            except queue.Full:
                connection.close()

        return pa.RecordBatchReader.from_batches(reader.schema, answer())

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
            msg = "the scratch database does not answer; is the cluster up (`qserv status`)?"
            raise MetadataError(msg) from error


def _message(error: adbc_driver_manager.Error) -> str:
    """Return PostgreSQL's own sentence out of ADBC's."""
    text = str(error)
    return text.split("ERROR:", 1)[-1].split("\n", 1)[0].strip() if "ERROR:" in text else text.split("\n", 1)[0]

"""Queries on a connection of psycopg whose rows are read from its socket, as bytes, and turned into Arrow batches.

libpq hands out one row at a time, and a Python call for each is what reading a million rows would cost. So the rows go past it: it
opens the connection and cancels; a query is sent, and read to its end, beside it, while libpq knows of none.
"""

import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import psycopg
import pyarrow as pa

from workers.postgresql import wire
from workers.postgresql.columns import SLACK_BYTES, Bytes, MalformedError
from workers.postgresql.prepared import LookUp, Prepared
from workers.postgresql.priority import port_of
from workers.postgresql.rows import RowDecoder
from workers.postgresql.wire import ServerError

FIRST_BATCH_BYTES: Final = 1 << 18
"""Bytes read for the first batch of an answer: most answers are smaller, and memory for more would be new each time."""

BATCH_BYTES: Final = 4 << 20
"""Bytes read for each one after it, unless a single row has more. A batch costs the czar and the reader a millisecond; larger ones
spoil caches."""

TOGETHER_BYTES: Final = 1 << 16
"""Of the answers of several look-ups, if they are to be one batch: their rows are moved together one by one."""

PAUSE_MS: Final = 100
"""What has come is handed on when nothing more comes for this long."""

CANCEL_TIMEOUT_S: Final = 1.0
"""A server that lives takes a request to cancel at once; others must not hold up who asks."""

PARAMETERS: Final = "sslmode=disable&gssencmode=disable&client_encoding=UTF8"
"""For the connection's URI: the bytes on the socket must be the server's own. It is on this machine, or as near."""

_READY: Final = b"Z\0\0\0\5"
"""ReadyForQuery but its last byte, the state of the transaction. Only what the server says unasked may follow it."""

_SILENT: Final = frozenset((b"1", b"2", b"3", b"n", b"C", b"N", b"S", b"A"))
"""Messages that nothing is done about: parsed, bound, closed, no rows, completed; and at any time notices, settings, news."""

Question = str | Sequence[LookUp]
"""A query, or look-ups that answer with the same columns: their rows come one after the other."""


class RowStream:
    """Queries on one connection, one at a time.

    Parameters
    ----------
    connection
        Made with `PARAMETERS`, in autocommit, and not used for anything else while a query runs. It is closed with this.
    on_silence
        Called every `PAUSE_MS` that the server says nothing while it is waited for, with the seconds since it did; what this raises
        ends the waiting.
    """

    def __init__(
        self,
        connection: "psycopg.Connection[Any]",  # Any: rows that are never made
        on_silence: Callable[[float], None] = lambda _silent_s: None,
    ) -> None:
        self._connection = connection
        self._on_silence = on_silence
        self._heard_s = 0.0
        self.lost = False
        """Whether the server does not hear."""
        # Of its own, because libpq closes the other one.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.setblocking(False)  # noqa: FBT003 (its only argument)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._writable.register(self._socket, select.POLLOUT)
        self._buffer = _buffer(0)
        self._used = 0
        """Bytes in the buffer."""
        self._unread = False
        """Whether there may be whole messages in the buffer."""
        self._aim_bytes = 0
        """Bytes that the next buffer is to have room for."""
        self._prepared = Prepared()
        self._looks_up = False
        """Whether few rows are awaited: they are one batch, if possible."""
        self._fields: tuple[wire.ResultField, ...] = ()
        self._decoder: RowDecoder | None = None
        self._batches: deque[pa.RecordBatch] = deque()
        self._error: ServerError | None = None
        self.ended = True
        """Whether the last query has been read to its end, so that another one may begin."""

    @property
    def port(self) -> int:
        """Of TCP, at this end of the connection; 0 where it is another one."""
        return port_of(self._socket)

    @property
    def descriptor(self) -> int:
        """Of the socket, which becomes readable as the server says something."""
        return self._socket.fileno()

    def look(self) -> None:
        """Look whether the server has been silent for too long."""
        self._on_silence(time.monotonic() - self._heard_s)

    def ask(self, question: Question, *, before: Sequence[str] = ()) -> None:
        """Send a question, and do not wait.

        Parameters
        ----------
        question
            Has rows for an answer.
        before
            Statements without rows, to run before it.
        """
        if len(self._buffer) != FIRST_BATCH_BYTES + SLACK_BYTES:  # new memory comes from the kernel, page by page
            self._buffer = _buffer(FIRST_BATCH_BYTES)
        self._used = 0
        self._unread = False
        self._aim_bytes = FIRST_BATCH_BYTES
        self._decoder = None
        self._batches.clear()
        self._error = None
        self.ended = False
        self._heard_s = time.monotonic()
        self._looks_up = not isinstance(question, str)
        asked = wire.query(question) if isinstance(question, str) else self._prepared.messages(question)
        self._send(b"".join(map(wire.statement, before)) + asked)

    def schema(self) -> pa.Schema:
        """Wait for the begin of the answer; return its schema.

        Raises
        ------
        ServerError
            The server refused the query, or went away.
        NotYetSupportedError
            A column is of a type that no column of a table has.
        """
        while self._decoder is None:
            if self.ended:
                raise self._error or ServerError("42601", "not a query: it has no rows for an answer", fatal=False)
            self._take(fill=False)
        return self._decoder.schema

    def next_batch(self) -> pa.RecordBatch | None:
        """Return the next rows, None after the last.

        Raises
        ------
        ServerError
            The query failed, or the server went away.
        """
        while not self._batches and not self.ended:
            self._take(fill=True)
        if self._error is not None:
            raise self._error
        return self._batches.popleft() if self._batches else None

    def cancel(self) -> None:
        """Ask the server to stop what runs. Any thread may call it. One that did not hear once is not asked again: where the
        connection ends, it notices by itself.
        """
        if self.lost:
            return
        try:
            self._connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
        except psycopg.errors.CancellationTimeout:
            self.lost = True
        except psycopg.Error:
            # The server is gone, or the query has just ended: who reads its rows learns which.
            return

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
        self._connection.close()

    def _send(self, messages: bytes) -> None:
        left = memoryview(messages)
        try:
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    if not self._writable.poll(PAUSE_MS):
                        self.look()
        except OSError:
            # The server is gone. What it said last is told when the answer is read.
            return

    def _take(self, *, fill: bool) -> None:
        """Wait for messages and hear them: with `fill`, as many as make a batch; without, up to the first row."""
        # Rows that came with their schema may be all there are: then nothing follows that could be waited for.
        unread, self._unread = self._unread, False
        open_end = (unread and self._is_whole()) or self._receive(fill=fill)
        if fill and self._looks_up and self._used <= TOGETHER_BYTES:
            self._move_rows_together()
        at = 0
        while self._used - at >= wire.HEADER_BYTES:
            if self._decoder is not None:
                if not fill:
                    self._unread = True
                    break
                batch, size = self._decoder.take(self._buffer[at:], self._used - at)
                if batch is not None:
                    self._batches.append(batch)
                    at += size
                    continue
            kind, length = struct.unpack_from(">ci", self._buffer.data, at)
            end = at + 1 + length
            if end > self._used:
                self._aim_bytes = max(self._aim_bytes, end - at)
                break
            self._hear(kind, bytes(self._buffer[at + wire.HEADER_BYTES : end]))
            at = end
        if not open_end:
            raise _lost(None)
        left = self._buffer[at : self._used]
        if self._aim_bytes + SLACK_BYTES > len(self._buffer):
            self._buffer = _buffer(self._aim_bytes)
        self._used = len(left)
        self._buffer[: self._used] = left

    def _move_rows_together(self) -> None:
        """Hear what stands between the rows of several look-ups, and leave the rows alone, one after the other."""
        rows, at = [], 0
        while self._used - at >= wire.HEADER_BYTES:
            kind, length = struct.unpack_from(">ci", self._buffer.data, at)
            end = at + 1 + length
            if end > self._used:
                break
            if kind == b"D":
                rows.append(self._buffer[at:end])
            else:
                self._hear(kind, bytes(self._buffer[at + wire.HEADER_BYTES : end]))
            at = end
        left = np.concatenate((*rows, self._buffer[at : self._used]))
        self._used = len(left)
        self._buffer[: self._used] = left

    def _receive(self, *, fill: bool) -> bool:
        """Read bytes into the buffer; return False at the end of the connection."""
        room = self._buffer.data[: len(self._buffer) - SLACK_BYTES]
        try:
            while self._used < len(room):
                try:
                    count = self._socket.recv_into(room[self._used :])
                except BlockingIOError:
                    if not self._readable.poll(PAUSE_MS):
                        self.look()
                        return True
                    self._heard_s = time.monotonic()
                    continue
                self._used += count
                if not count:
                    return False
                if not fill or self._is_whole():
                    return True
        except OSError as error:
            raise _lost(error) from error
        self._aim_bytes = max(self._aim_bytes, BATCH_BYTES)
        return True

    def _is_whole(self) -> bool:
        """Whether the buffer ends as an answer does: rows may happen to."""
        return bytes(self._buffer[max(0, self._used - len(_READY) - 1) : self._used - 1]) == _READY

    def _hear(self, kind: bytes, body: bytes) -> None:
        """Take a message that is no row."""
        if kind == b"T":
            fields = _fields(body)
            if self._decoder is None:
                self._fields, self._decoder = fields, RowDecoder(fields)
            elif fields != self._fields:
                msg = f"tables of the same query have columns {self._fields} and {fields}"
                raise MalformedError(msg)
        elif kind == b"E":
            self._error = self._error or wire.server_error(body)
            self._prepared.forget()
            if self._error.fatal:
                raise self._error
        elif kind == b"Z":
            self.ended = True
        elif kind not in _SILENT:
            msg = f"message {kind!r} of {len(body)} bytes from the server"
            raise MalformedError(msg)


@lru_cache(maxsize=1024)
def _fields(body: bytes) -> tuple[wire.ResultField, ...]:
    """Return what a RowDescription tells; kept, because the same tables answer again and again."""
    return wire.result_fields(body)


def _buffer(size_bytes: int) -> Bytes:
    return np.empty(size_bytes + SLACK_BYTES, np.uint8)


def _lost(error: OSError | None) -> ServerError:
    return ServerError(None, "the server closed the connection" if error is None else str(error), fatal=True)

"""Messages of PostgreSQL's protocol 3.0, as far as running a query and reading its rows needs them. No I/O.

Source: PostgreSQL manual, chapter "Frontend/Backend Protocol", sections "Message Formats" and "Error and Notice Message Fields".
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

HEADER_BYTES: Final = 5
"""Of every message from the server: its kind, and its length without the kind."""


class ResultField(NamedTuple):
    """A column of an answer; ``type_oid`` is its ``pg_type.oid``."""

    name: str
    type_oid: int


class ServerError(Exception):
    """What the server complained about, or that it went away.

    Attributes
    ----------
    sqlstate
        Five characters (PostgreSQL, Appendix A); None where the connection broke before the server said anything.
    fatal
        Whether the server has ended the connection.
    """

    def __init__(self, sqlstate: str | None, message: str, *, fatal: bool) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.fatal = fatal


def statement(sql: str) -> bytes:
    """Run a statement that has no rows, before a query: the server sends nothing of it until the query has an answer."""
    return _message(b"P", b"\0" + _text(sql) + b"\0\0") + _message(b"B", bytes(8)) + _message(b"E", bytes(5))


def query(sql: str) -> bytes:
    """Run a query and send all its rows in binary format.

    Answered by RowDescription, DataRows, CommandComplete, ReadyForQuery.
    """
    return _message(b"P", b"\0" + _text(sql) + b"\0\0") + _BIND_AND_RUN


def prepare(name: str, sql: str) -> bytes:
    """Prepare a query with one parameter, an array of bigint. Answered by ParseComplete."""
    return _message(b"P", _text(name) + _text(sql) + struct.pack(">hI", 1, _BIGINTS))


def run(name: str, keys: Sequence[int]) -> bytes:
    """Run a prepared query for an array of bigint. Answered as `query` is, but for ReadyForQuery, which `SYNC` asks for."""
    # One dimension, no NULL, counted from 1; before each element its length. Then binary format for all columns of the answer.
    array = struct.pack(f">iiIii{len(keys) * 'iq'}", 1, 0, _BIGINT, len(keys), 1, *(part for key in keys for part in (8, key)))
    bound = b"\0" + _text(name) + struct.pack(">hhhi", 1, 1, 1, len(array)) + array + struct.pack(">hh", 1, 1)
    return _message(b"B", bound) + _DESCRIBE_AND_RUN


def drop(name: str) -> bytes:
    """Let go of a prepared query. Answered by CloseComplete."""
    return _message(b"C", b"S" + _text(name))


def result_fields(body: bytes) -> tuple[ResultField, ...]:
    """Return what a RowDescription tells."""
    (count,) = struct.unpack_from(">h", body)
    fields, at = [], 2
    for _ in range(count):
        end = body.index(0, at)
        # After the name: table (4 bytes) and column (2) it comes from, then the type.
        (type_oid,) = struct.unpack_from(">I", body, end + 7)
        fields.append(ResultField(body[at:end].decode(errors="replace"), type_oid))
        at = end + 19
    return tuple(fields)


def server_error(body: bytes) -> ServerError:
    """Return what an ErrorResponse tells: a letter before each part, a zero byte after it."""
    parts = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return ServerError(parts.get(b"C"), parts.get(b"M", "unknown error"), fatal=parts.get(b"V") in {"FATAL", "PANIC"})


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def _text(text: str) -> bytes:
    if "\0" in text:
        msg = "a zero byte in a statement"
        raise ValueError(msg)
    return text.encode() + b"\0"


_BIGINT: Final = 20
_BIGINTS: Final = 1016
"""``pg_type.oid`` of bigint, and of its array."""

SYNC: Final = _message(b"S")
"""Ends a sequence of steps: the server sends ReadyForQuery, be it after an error, which leaves out the steps behind it."""

# The nameless portal, without a limit of rows, so that PostgreSQL may use parallel workers.
_DESCRIBE_AND_RUN: Final = _message(b"D", b"P\0") + _message(b"E", b"\0\0\0\0\0")

# Nameless statement, no parameters, binary format for all columns.
_BIND_AND_RUN: Final = _message(b"B", struct.pack(">xxhhhh", 0, 0, 1, 1)) + _DESCRIBE_AND_RUN + SYNC

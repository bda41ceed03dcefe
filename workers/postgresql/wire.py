"""Messages of PostgreSQL's protocol 3.0, as far as running a query and reading its rows needs them. No I/O.

Source: PostgreSQL manual, chapter "Frontend/Backend Protocol", sections "Message Formats" and "Error and Notice Message Fields".
"""

import struct
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
    """Run a statement that has no rows. Answered by CommandComplete and ReadyForQuery."""
    return _message(b"Q", _text(sql))


def query(sql: str) -> bytes:
    """Run a query and send all its rows in binary format.

    Answered by RowDescription, DataRows, CommandComplete, ReadyForQuery.
    """
    return _message(b"P", b"\0" + _text(sql) + b"\0\0") + _BIND_AND_RUN


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


_BIND_AND_RUN: Final = b"".join(
    (
        # Nameless portal and statement, no parameters, binary format for all columns.
        _message(b"B", struct.pack(">xxhhhh", 0, 0, 1, 1)),
        _message(b"D", b"P\0"),
        # Without a limit of rows, so that PostgreSQL may use parallel workers.
        _message(b"E", b"\0\0\0\0\0"),
        _message(b"S"),
    )
)
"""The steps after Parse, and Sync, upon which the server sends ReadyForQuery, be it after an error."""

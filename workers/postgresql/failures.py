"""PostgreSQL's errors, by SQLSTATE, as errors of ours."""

from collections.abc import Iterable

from qserv.errors import (
    IngestError,
    InternalError,
    MemoryLimitError,
    NodeUnavailableError,
    QservError,
    QueryCancelledError,
    QueryEvaluationError,
    QueryLimitError,
    StorageFullError,
    TemporarySpaceError,
    TimeLimitError,
)

_CANCELLED = "57014"
_UNDEFINED_TABLE = "42P01"
_FEATURE_NOT_SUPPORTED = "0A000"
"""Among others: a cached plan must not change its result type."""

_DISK_FULL = "53100"
_OUT_OF_MEMORY = "53200"
_TEMPORARY_FILES = "53400"
_LIMITS = ("54",)
"""Program limit exceeded."""

_DAMAGED = ("XX001", "XX002")
"""Data or an index that cannot be right: another replica may be."""

_OUR_FAULT = ("XX", "42601", "42602", "42703", "42P01", "42P02", "42501", "25006")
"""Errors that no query of a user can mean, since its names are known and its text is written anew: PostgreSQL's own, bad syntax, an
invalid name, an unknown column, table or parameter, no right to do it, and a write."""

LESS = "select fewer columns, restrict it further by WHERE, or group by fewer columns"
"""What makes a sort or a hash smaller."""

_UNAVAILABLE = ("08", "53300", "57P", "58")
"""Connection lost, too many connections, server going down or starting up, system error such as a failing disk."""


def query_error(sqlstate: str | None, message: str, relations: Iterable[str] = ()) -> QservError:
    """Return the error that a failed chunk query means.

    Parameters
    ----------
    sqlstate
        Five characters (PostgreSQL, Appendix A); None or zeros where the connection broke before the server said anything.
    message
        PostgreSQL's primary message.
    relations
        Physical tables in the query, quoted, that the node should hold.
    """
    shared = _either(sqlstate, message)
    if shared is not None:
        return shared
    if sqlstate == _CANCELLED and "statement timeout" not in message:
        return QueryCancelledError("the query was cancelled")
    if sqlstate == _UNDEFINED_TABLE and _names_one_of(message, relations):
        # Put in place of by another load since the query was planned, or lost.
        return NodeUnavailableError(f"a table is not there any more: {message}; ask again")
    if sqlstate in _DAMAGED:
        return NodeUnavailableError(f"what PostgreSQL reads from its disk is damaged: {message}; see its log")
    return _limit(sqlstate or "", message) or fault(sqlstate, message) or QueryEvaluationError(message)


def fault(sqlstate: str | None, message: str) -> InternalError | None:
    """Return the error of a statement that is wrong in a way that no query of a user can cause; None where it is not."""
    if sqlstate is None or not sqlstate.startswith(_OUR_FAULT):
        return None
    msg = f"a mistake of the system: PostgreSQL cannot run what was made of the query ({message}, {sqlstate}); report it, please"
    return InternalError(msg)


def load_error(sqlstate: str | None, message: str, table: str) -> QservError:
    """Return the error that a failed load, or other change of a table, means."""
    return _either(sqlstate, message) or IngestError(f"{table}: PostgreSQL refused it: {message}")


def connection_lost(sqlstate: str | None) -> bool:
    """Tell whether an error means that the connection is gone, so that the same may succeed on another one."""
    return sqlstate is None or sqlstate == "00000" or sqlstate.startswith(_UNAVAILABLE)


def prepared_anew(sqlstate: str | None) -> bool:
    """Tell whether an error may mean that a prepared statement has other columns now, so that it can be prepared anew."""
    return sqlstate == _FEATURE_NOT_SUPPORTED


def _names_one_of(message: str, relations: Iterable[str]) -> bool:
    """Tell whether a message names a relation; PostgreSQL puts its quotes around schema and table together."""
    return any(message.split('"')[1::2] == [name.replace('"', "")] for name in relations)


def _limit(sqlstate: str, message: str) -> QueryLimitError | None:
    """Return the limit that a query has met."""
    if sqlstate == _CANCELLED:
        return TimeLimitError("the query ran longer than its time limit; restrict it further, or raise the limit")
    if sqlstate == _TEMPORARY_FILES:
        msg = f"sorts and hashes of this part of the query need more disk than one may use ({message}); {LESS}"
        return TemporarySpaceError(msg)
    if sqlstate == _OUT_OF_MEMORY:
        return MemoryLimitError(f"PostgreSQL has not enough memory for this part of the query ({message}); {LESS}")
    return QueryLimitError(f"PostgreSQL: {message}") if sqlstate.startswith(_LIMITS) else None


def _either(sqlstate: str | None, message: str) -> QservError | None:
    """Return the error that means the same for queries and loads."""
    if connection_lost(sqlstate):
        return NodeUnavailableError(f"PostgreSQL of this node does not answer: {message}")
    if sqlstate == _DISK_FULL:
        return StorageFullError(f"a disk of this node is full: {message}; make room, then try again")
    return None

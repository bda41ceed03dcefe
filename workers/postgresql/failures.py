"""PostgreSQL's errors, by SQLSTATE, as errors of ours."""

from qserv.errors import (
    IngestError,
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
_DISK_FULL = "53100"
_OUT_OF_MEMORY = "53200"
_TEMPORARY_FILES = "53400"
_LIMITS = ("54",)
"""Program limit exceeded."""

LESS = "select fewer columns, restrict it further by WHERE, or group by fewer columns"
"""What makes a sort or a hash smaller."""

_UNAVAILABLE = ("08", "53300", "57P", "58")
"""Connection lost, too many connections, server going down or starting up, system error such as a failing disk."""


def query_error(sqlstate: str | None, message: str) -> QservError:
    """Return the error that a failed chunk query means.

    Parameters
    ----------
    sqlstate
        Five characters (PostgreSQL, Appendix A); None or zeros where the connection broke before the server said anything.
    message
        PostgreSQL's primary message.
    """
    shared = _either(sqlstate, message)
    if shared is not None:
        return shared
    if sqlstate == _CANCELLED and "statement timeout" not in message:
        return QueryCancelledError("the query was cancelled")
    if sqlstate == _UNDEFINED_TABLE:
        return NodeUnavailableError(f"this node does not hold what was asked of it: {message}")
    return _limit(sqlstate or "", message) or QueryEvaluationError(message)


def load_error(sqlstate: str | None, message: str, table: str) -> QservError:
    """Return the error that a failed load, or other change of a table, means."""
    return _either(sqlstate, message) or IngestError(f"{table}: PostgreSQL refused it: {message}")


def connection_lost(sqlstate: str | None) -> bool:
    """Tell whether an error means that the connection is gone, so that the same may succeed on another one."""
    return sqlstate is None or sqlstate == "00000" or sqlstate.startswith(_UNAVAILABLE)


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

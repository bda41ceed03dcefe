"""What an error is to a client: the one place where errors become HTTP and DALI."""

from dataclasses import dataclass

from qserv.errors import ClusterError, NoSuchJobError, QservError, QueryCancelledError, QueryError, SchemaError
from tap.formats.outputs import VOTABLE
from tap.formats.votable import error_document

RETRY_AFTER_s = 5
"""Seconds after which a client may try again: a dead worker or node is started again in about two."""

STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (QueryCancelledError, 503),
    (NoSuchJobError, 404),
    (QueryError, 400),
    (SchemaError, 400),
    (ClusterError, 503),
    (QservError, 500),
)
"""HTTP status of each branch of the tree of errors, the first that fits: 400 is what the user can change."""

INTERNAL = "internal error; it is in the log of the service"
"""What a client is told of an error that is none of ours: its text may hold what is not for users."""


@dataclass(frozen=True)
class ErrorAnswer:
    """An error as it goes to a client."""

    status: int
    headers: dict[str, str]
    body: bytes
    media_type: str = VOTABLE


def message_of(error: BaseException) -> str:
    """Return what a client may read of an error."""
    return str(error) if isinstance(error, QservError) else INTERNAL


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def error_answer(error: BaseException) -> ErrorAnswer:
    """Return the DALI document of an error (DALI 1.1, section 4.2), with its HTTP status."""
    retryable = isinstance(error, QservError) and error.retryable
    headers = {"Retry-After": str(RETRY_AFTER_s)} if retryable else {}
    infos = [("ERROR_CODE", error.code)] if isinstance(error, QservError) else []
    return ErrorAnswer(status_of(error), headers, error_document(message_of(error), infos))

"""What an error is to a client: a DALI document, with its HTTP status."""

from dataclasses import dataclass

from qserv.api.errors import message_of, status_of
from qserv.errors import QservError
from tap.formats.outputs import VOTABLE
from tap.formats.votable import error_document

__all__ = ["ErrorAnswer", "error_answer", "message_of", "status_of"]

RETRY_AFTER_s = 5
"""Seconds after which a client may try again: a dead worker or node is started again in about two."""


@dataclass(frozen=True)
class ErrorAnswer:
    """An error as it goes to a client."""

    status: int
    headers: dict[str, str]
    body: bytes
    media_type: str = VOTABLE


def error_answer(error: BaseException) -> ErrorAnswer:
    """Return the DALI document of an error (DALI 1.1, section 4.2), with its HTTP status."""
    retryable = isinstance(error, QservError) and error.retryable
    headers = {"Retry-After": str(RETRY_AFTER_s)} if retryable else {}
    infos = [("ERROR_CODE", error.code)] if isinstance(error, QservError) else []
    return ErrorAnswer(status_of(error), headers, error_document(message_of(error), infos))

"""Errors as they travel over Arrow Flight: the extra info of a Flight error is the document that an HTTP answer would be."""

import contextlib
from typing import Final

import pyarrow as pa
from pyarrow import flight
from pydantic import ValidationError

from qserv.api.errors import error_info, error_of
from qserv.api.messages import ErrorDocument
from qserv.errors import AccessError, IngestLostError, QservError
from workers.failures import reason

MOST_MESSAGE_BYTES: Final = 1000
"""Of a message: gRPC refuses answers with more than 8 KiB of headers now and then, and an error is in these five times."""


def to_flight(error: BaseException) -> flight.FlightError:
    """Return the Flight error that carries an error of ours."""
    info = error_info(error)
    message = info.message.encode()[:MOST_MESSAGE_BYTES].decode(errors="ignore")
    kind = flight.FlightUnauthenticatedError if isinstance(error, AccessError) else flight.FlightServerError
    if info.retryable:
        kind = flight.FlightUnavailableError
    hint = None if info.hint is None else info.hint[: len(message)]
    document = ErrorDocument(error=info.model_copy(update={"message": message, "hint": hint}))
    # Without this, gRPC writes nine bytes for each letter that is none of ASCII.
    return kind(message.encode("ascii", "replace").decode(), document.model_dump_json().encode())


def from_flight(error: pa.ArrowException, url: str) -> QservError:
    """Return the error of ours that a Flight error carries, or means."""
    with contextlib.suppress(ValidationError):
        return error_of(ErrorDocument.model_validate_json(getattr(error, "extra_info", b"")).error)
    msg = f"the ingest service at {url} does not answer: {reason(error)}; send it again, once it is up (`qserv status`)"
    return IngestLostError(msg)

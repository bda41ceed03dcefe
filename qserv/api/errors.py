"""Errors as HTTP has them, and back: the one place where the tree of errors meets a status."""

from qserv import errors
from qserv.api.messages import ErrorInfo, PlaceInfo
from qserv.errors import (
    AccessError,
    ClusterError,
    ExportError,
    FamilyHeldError,
    IngestError,
    LoadCancelledError,
    LoadNameError,
    NoSuchJobError,
    NoSuchLoadError,
    Place,
    QservError,
    QueryCancelledError,
    QueryError,
    RemoteFileError,
    SchemaError,
    TooManyQueriesError,
    TransactionEndedError,
    UserBytesError,
    UserRowsError,
)

STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (AccessError, 401),
    (QueryCancelledError, 503),
    (TooManyQueriesError, 503),
    (UserRowsError, 429),
    (UserBytesError, 429),
    (NoSuchJobError, 404),
    (NoSuchLoadError, 404),
    (LoadNameError, 409),
    (TransactionEndedError, 409),
    (FamilyHeldError, 409),
    (LoadCancelledError, 409),
    (RemoteFileError, 503),
    (QueryError, 400),
    (SchemaError, 400),
    (IngestError, 400),
    (ExportError, 400),
    (ClusterError, 503),
    (QservError, 500),
)
"""HTTP status of each branch of the tree of errors, the first that fits: 400 is what the user can change."""

INTERNAL = "internal error; it is in the log of the service"
"""What a client is told of an error that is none of ours: its text may hold what is not for users."""

KINDS = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QservError)}


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def message_of(error: BaseException) -> str:
    """Return what a client may read of an error."""
    return str(error) if isinstance(error, QservError) else INTERNAL


def error_info(error: BaseException) -> ErrorInfo:
    """Return an error as a client gets it."""
    place = error.place if isinstance(error, QueryError) else None
    return told(
        error.code if isinstance(error, QservError) else QservError.code,
        message_of(error),
        retryable=isinstance(error, QservError) and error.retryable,
        place=PlaceInfo(line=place.line, column=place.column) if place else None,
    )


def told(code: str, message: str, *, retryable: bool | None = None, place: PlaceInfo | None = None) -> ErrorInfo:
    """Return an error of which code and message are known. By convention of ours, a semicolon stands before what to do."""
    hint = message.removesuffix(f" (line {place.line}, column {place.column})" if place else "").partition("; ")[2] or None
    if retryable is None:
        retryable = KINDS.get(code, QservError).retryable
    return ErrorInfo(code=code, message=message, retryable=retryable, place=place, hint=hint)


def error_of(info: ErrorInfo) -> QservError:
    """Return the error that a service told of, to be raised by its client."""
    kind = KINDS.get(info.code, QservError)
    error = kind(info.message)
    if isinstance(error, QueryError) and info.place:
        error.place = Place(info.place.line, info.place.column)
    return error

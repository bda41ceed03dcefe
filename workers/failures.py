"""Errors of ``qserv.errors`` as they travel between worker and client: by code and message, in a Flight error's extra info."""

import pyarrow as pa
from pyarrow import flight

from qserv.errors import NodeUnavailableError, QservError, QueryCancelledError, TimeLimitError
from workers.protocol import Failure

_FLIGHT_NAMES: dict[type[Exception], type[flight.FlightError]] = {
    QueryCancelledError: flight.FlightCancelledError,
    NodeUnavailableError: flight.FlightUnavailableError,
}
"""Flight's own classes where one fits, for readers of logs and for Flight clients that are not ours."""


def to_flight(error: QservError) -> flight.FlightError:
    """Return the Flight error that carries an error of ours."""
    failure = Failure(error.code, str(error))
    return _FLIGHT_NAMES.get(type(error), flight.FlightServerError)(str(error), failure.encode())


def from_flight(error: pa.ArrowException, worker: str) -> QservError:
    """Return the error of ours that a Flight error carries, or means.

    Parameters
    ----------
    error
        What pyarrow raised.
    worker
        Which worker was asked, for the message.
    """
    extra = getattr(error, "extra_info", b"")
    if extra:
        try:
            return from_failure(Failure.decode(bytes(extra)))
        except ValueError:
            pass  # not ours: gRPC and proxies may set details of their own
    text = reason(error)
    if isinstance(error, flight.FlightCancelledError):
        return QueryCancelledError(f"the call to worker {worker} was cancelled")
    if isinstance(error, flight.FlightTimedOutError):
        return TimeLimitError(f"worker {worker} took longer than its time limit to answer; try again, or raise the limit")
    if isinstance(error, flight.FlightUnauthenticatedError):
        return NodeUnavailableError(
            f"worker {worker} refused the cluster secret: it belongs to another cluster, or was restarted with another"
        )
    return NodeUnavailableError(f"worker {worker} cannot be reached: {text}")


def from_failure(failure: Failure) -> QservError:
    """Return the error that a `Failure` stands for; of a code that is not known here, the nearest class above it."""
    code = failure.code
    classes = {cls.code: cls for cls in _tree(QservError)}
    while code not in classes and "." in code:
        code = code.rpartition(".")[0]
    return classes.get(code, QservError)(failure.message)


def _tree(root: type[QservError]) -> list[type[QservError]]:
    """Return a class and all below it; a class that sets no code of its own gives way to its parent."""
    return [cls for child in root.__subclasses__() for cls in _tree(child)] + [root]


def reason(error: pa.ArrowException) -> str:
    """Return what gRPC says, without Flight's words around it."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.rpartition("with message: ")[2].partition(". gRPC client debug")[0]

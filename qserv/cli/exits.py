"""Exit codes, and how an error is shown. The one place where the error tree meets the command line."""

import json
import sys

from qserv.errors import (
    BadFileError,
    BadRowError,
    ClusterNotRunningError,
    ExportError,
    PortInUseError,
    QservError,
    QueryError,
    QueryLimitError,
    SchemaError,
    SettingsError,
    StorageFullError,
)

FAILED = 1
"""Anything that has no code of its own."""

RETRY = 6
"""A part of the cluster did not answer: trying again can help."""

EXIT_CODES: tuple[tuple[type[QservError], int], ...] = (
    (SettingsError, 2),
    (ClusterNotRunningError, 3),
    (QueryLimitError, 5),
    (QueryError, 4),
    (SchemaError, 4),
    (BadFileError, 4),
    (BadRowError, 4),
    (ExportError, 4),
    (PortInUseError, 7),
    (StorageFullError, 7),
)
"""First match counts. The table for people is in docs/operations.md."""


def exit_code(error: QservError) -> int:
    """Return the exit code for an error."""
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return code
    return RETRY if error.retryable else FAILED


def report(error: QservError, *, as_json: bool) -> int:
    """Print an error and return its exit code: as JSON on stdout where a program reads it, else on stderr."""
    if as_json:
        print(json.dumps({"error": {"code": error.code, "message": str(error), "retryable": error.retryable}}))  # noqa: T201 (a CLI's answer)
    else:
        print(f"qserv: {error}", file=sys.stderr)  # noqa: T201
    return exit_code(error)

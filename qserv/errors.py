"""The one tree of errors. Each class has a stable ``code`` and says whether trying again can help.

A message says what is wrong, where, and what to do next. The mapping to HTTP and DALI is done once, in ``tap``; to exit codes
once, in ``qserv.cli``.
"""

from dataclasses import dataclass
from typing import ClassVar


class QservError(Exception):
    """Base of every error that a user of the project may see."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class InternalError(QservError):
    """The system made a mistake, such as a statement that PostgreSQL cannot read: no user and no admin can put it right."""

    code = "internal"


# -- settings and cluster ---------------------------------------------------------------------------------------------------------


class SettingsError(QservError):
    """A setting is missing, unknown or out of its range."""

    code = "settings"


class ClusterError(QservError):
    """The cluster as a whole cannot do what was asked."""

    code = "cluster"


class ClusterNotRunningError(ClusterError):
    """No running cluster was found where one is needed."""

    code = "cluster.not_running"


class PortInUseError(ClusterError):
    """A fixed port is taken by another process."""

    code = "cluster.port_in_use"


class NodeUnavailableError(ClusterError):
    """A node, or the worker beside it, does not answer."""

    code = "cluster.node_unavailable"
    retryable = True


class CzarLostError(ClusterError):
    """The czar that ran a query ended without a word."""

    code = "cluster.czar_lost"
    retryable = True


class IngestLostError(ClusterError):
    """The ingest service, or a process that reads for it, does not answer. What was asked goes on, or begins anew."""

    code = "cluster.ingest_lost"
    retryable = True


class MetadataError(ClusterError):
    """The metadata database does not answer or is of another version."""

    code = "cluster.metadata"
    retryable = True


class StorageFullError(ClusterError):
    """A disk, or the space that a setting allows, is full."""

    code = "cluster.storage_full"


class AccessError(QservError):
    """A service does not know who asks, or does not let them."""

    code = "access"


# -- schema -----------------------------------------------------------------------------------------------------------------------


class SchemaError(QservError):
    """A schema file or a declaration in it is wrong."""

    code = "schema"


# -- queries ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where in the text of a query: ``line`` and ``column``, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class QueryError(QservError):
    """A query cannot be answered. ``place`` is where in its text the reason stands, if one place can be named."""

    code = "query"

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{message} ({place})" if place else message)
        self.place = place


class QuerySyntaxError(QueryError):
    """The text is not a query of its dialect."""

    code = "query.syntax"


class UnknownNameError(QueryError):
    """A table, column or function is not known; the message names the nearest one."""

    code = "query.unknown_name"


class QueryValueError(QueryError):
    """A value is out of the range of its meaning, such as a radius above 180 degrees."""

    code = "query.value"


class NotYetSupportedError(QueryError):
    """The query is valid, and the engine cannot answer it yet."""

    code = "query.not_yet_supported"


class QueryEvaluationError(QueryError):
    """PostgreSQL stopped while computing the answer, such as by a division by zero."""

    code = "query.evaluation"


class QueryLimitError(QueryError):
    """The query needs more rows, bytes, memory or time than its limits allow."""

    code = "query.limit"


class RowLimitError(QueryLimitError):
    """The answer has more rows than an answer may have."""

    code = "query.limit.rows"


class AnswerSizeError(QueryLimitError):
    """The answer has more bytes than an answer may have."""

    code = "query.limit.bytes"


class StepSizeError(QueryLimitError):
    """A step of the query has more bytes than one may have in the scratch database."""

    code = "query.limit.step"


class TimeLimitError(QueryLimitError):
    """The query ran longer than it may."""

    code = "query.limit.time"


class TemporarySpaceError(QueryLimitError):
    """Sorts and hashes of the query need more disk than it may use, on a node or in the scratch database."""

    code = "query.limit.temporary_space"


class MemoryLimitError(QueryLimitError):
    """A part of the query needs more memory than a query may use, on a node or where its rows are combined."""

    code = "query.limit.memory"


class TooManyQueriesError(QueryLimitError):
    """As many queries run already as may at a time, and none ended while this one waited."""

    code = "query.limit.queries"
    retryable = True


class UserRowsError(QueryLimitError):
    """The user has read as many rows as one may within a time."""

    code = "query.limit.user.rows"
    retryable = True


class UserBytesError(QueryLimitError):
    """The user has read as many bytes as one may within a time."""

    code = "query.limit.user.bytes"
    retryable = True


class KeptResultsError(QueryLimitError):
    """The results that are kept for the user have as many bytes as they may."""

    code = "query.limit.user.kept"


class QueryCancelledError(QueryError):
    """The query was cancelled by its owner or an admin, or its reader went away."""

    code = "query.cancelled"


class NoSuchJobError(QueryError):
    """There is no query or job of that name, or its result has expired."""

    code = "query.no_such_job"


# -- ingest -----------------------------------------------------------------------------------------------------------------------


class IngestError(QservError):
    """A load failed. Nothing of it is visible; it can be run again."""

    code = "ingest"


class NoSuchLoadError(IngestError):
    """There is no load of that name."""

    code = "ingest.no_such_load"


class LoadNameError(IngestError):
    """Something else was loaded under that name."""

    code = "ingest.name"


class TransactionEndedError(IngestError):
    """A transaction takes nothing more: it is committed, aborted, or to be committed."""

    code = "ingest.ended"


class FamilyHeldError(IngestError):
    """Another load into the same family runs."""

    code = "ingest.family_held"
    retryable = True


class LoadCancelledError(IngestError):
    """A load was stopped by its user."""

    code = "ingest.cancelled"


class BadFileError(IngestError):
    """A file cannot be read as what it should be: truncated, wrong format, a column missing or of another type."""

    code = "ingest.bad_file"


class RemoteFileError(IngestError):
    """A server or a store does not give a file, and may do so later."""

    code = "ingest.remote_file"
    retryable = True


class BadRowError(IngestError):
    """A row holds a value that must not be stored; the message gives file, row number, column, value and reason."""

    code = "ingest.bad_row"


# -- export -----------------------------------------------------------------------------------------------------------------------


class ExportError(QservError):
    """Rows cannot be written as they were asked for. Nothing is left where they were to be."""

    code = "export"

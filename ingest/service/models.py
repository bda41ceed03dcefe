"""What travels between the ingest service and its clients, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from ingest.formats.source import DEFAULT, ReadOptions
from qserv.api.messages import ErrorInfo, Message
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from schema.model import ColumnType
from workers.runs.statistics import text_of

MAX_WAIT_S = 60.0
"""How long a client may wait for a load's end in one request: proxies break off what is silent for longer."""

WAITING = frozenset({ContributionState.RECEIVING, ContributionState.QUEUED, ContributionState.READING})
"""States of a contribution of which something is still to come."""

LoadName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Of a load; it is part of file names."""


class SchemaRequest(Message):
    """The database that is loaded, and how its tables are made. Files are those of the machine on which the service runs."""

    schema_file: str | None = Field(default=None, description="Felis file of the database; its partition file stands beside it.")
    felis: str | None = Field(default=None, description="Text of a Felis file, rather than a file.")
    partition: str | None = Field(default=None, description="Text of its partition file.")
    replicas: int = Field(default=1, ge=1, description="Nodes that hold each chunk.")
    replace: bool = Field(default=False, description="Put the rows in place of published tables.")
    chunk_target_rows: int | None = Field(default=None, ge=1, description="Rows a chunk should have at most, in a new family.")

    @property
    def is_described(self) -> bool:
        """Whether the cluster knows the schema."""
        return False

    @model_validator(mode="after")
    def _has_one_schema(self) -> Self:
        texts = (self.felis, self.partition)
        if self.is_described:
            return self
        if (self.schema_file is None) == (None in texts) or (self.schema_file is not None and texts != (None, None)):
            msg = "give either schema_file, or both felis and partition"
            raise ValueError(msg)
        return self


class LoadRequest(SchemaRequest):
    """What is to be loaded, and how."""

    files: dict[str, tuple[str, ...]] = Field(min_length=1, description="By table: files, directories, patterns, URLs.")
    reading: ReadOptions = Field(default=DEFAULT, description="How files are read that do not say it themselves.")
    max_bad_rows: int = Field(default=0, ge=0, description="Rows that may be set aside because they cannot be stored.")


class TransactionRequest(SchemaRequest):
    """Which tables a transaction makes of what will be sent into it, or adds rows to."""

    append_to: str | None = Field(default=None, description="A published database, rather than a schema: rows are added to it.")

    tables: tuple[str, ...] = Field(default=(), description="All tables of the schema, if none is named.")
    positions: dict[str, tuple[str, ...]] = Field(
        default={}, description="Files with rows of directors, by table: the sky is cut as they lie, in a new family."
    )
    chunk_order: int | None = Field(default=None, ge=0, le=12, description="HEALPix order of all chunks, rather than that.")
    max_bad_rows: int = Field(default=0, ge=0, description="Rows of each file that may be set aside.")

    @property
    def is_described(self) -> bool:
        """Whether the cluster knows the schema."""
        return self.append_to is not None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        given = self.model_fields_set - {"append_to", "tables", "max_bad_rows"}
        if self.append_to is not None and any(getattr(self, name) != type(self).model_fields[name].default for name in given):
            msg = f"rows are added to tables as they are: append_to goes without {', '.join(sorted(given))}"
            raise ValueError(msg)
        return self


class AliasRequest(Message):
    """What a name means."""

    database: str


class IndexRequest(Message):
    """An index of a published table."""

    columns: tuple[str, ...] = Field(min_length=1, description="The first one matters most.")
    drop: bool = Field(default=False, description="Drop it rather than make it.")


class WithdrawalRequest(Message):
    """A committed transaction whose rows are to be taken away."""

    transaction: str


class ColumnRequest(Message):
    """A column that is added to a published table."""

    column: str = Field(description="Its name.")
    datatype: ColumnType
    length: int | None = Field(default=None, ge=1, description="Of a text, in characters, or of bytes.")
    nullable: bool = True
    unit: str | None = None
    ucd: str | None = None
    description: str = ""
    default: bool | int | float | str | None = Field(
        default=None, description="Its value in the rows that are there, and in those whose file does not have it; null is NULL."
    )

    @property
    def attributes(self) -> dict[str, Any]:
        """What a Felis file says of it."""
        said = {"description": self.description, "length": self.length, "ivoa:unit": self.unit, "ivoa:ucd": self.ucd}
        own = {"name": self.column, "datatype": self.datatype.value, "nullable": self.nullable}
        return own | {name: value for name, value in said.items() if value}

    @property
    def default_text(self) -> str | None:
        """The default as a file of text has it."""
        return self.default if self.default is None or isinstance(self.default, str) else text_of(self.default)


class ContributionRequest(Message):
    """Rows for a table of a transaction."""

    table: str
    source: str = Field(min_length=1, description="A file, a directory, a pattern, a URL.")
    reading: ReadOptions = Field(default=DEFAULT, description="How files are read that do not say it themselves.")


class StreamRequest(Message):
    """What the rows of a stream are: the descriptor of an Arrow Flight `DoPut`, as JSON."""

    transaction: LoadName
    contribution: LoadName
    table: str = Field(max_length=200)
    ignore_units: bool = Field(default=False, description="Take values as they are, whatever unit a column says.")


class ServiceInfo(Message):
    """Where the service takes what is not asked over HTTP."""

    flight: str = Field(description="Location to which rows are sent over Arrow Flight.")


class ContributionFile(Message):
    """A file of a contribution."""

    source: str
    state: ContributionState
    attempt: int = Field(description="How often it was begun.")
    size_bytes: int | None
    sha256: str | None
    rows: int
    rejected: int
    error: ErrorInfo | None


class ContributionInfo(Message):
    """A contribution: failed if one of its files is, done when all are."""

    name: str
    table: str
    state: ContributionState
    rows: int
    rejected: int
    files: tuple[ContributionFile, ...]


class StageInfo(Message):
    """How far a stage of a table is, in rows, chunks or tables."""

    table: str
    stage: str
    done: int
    total: int | None


class TableInfo(Message):
    """What was loaded into a table."""

    table: str
    rows: int
    overlap_rows: int = Field(description="Copies in the margins of other chunks; not counted in rows.")
    chunks: int
    seconds: float
    ignored_columns: tuple[str, ...] = Field(description="Columns of the files that the table does not have.")
    rejected: int = Field(description="Rows that were set aside.")
    orphans: int = Field(default=0, description="Rows that were kept though their director has no row of their key.")
    orphan_keys: tuple[int | None, ...] = Field(default=(), description="The first of their keys; null is NULL.")


class ReportInfo(Message):
    """What a committed load did."""

    database: str
    tables: tuple[TableInfo, ...]
    chunks: int = Field(description="Chunks of the family's map.")
    version: int = Field(description="Of the catalogue in which its tables are first seen.")
    seconds: float
    load: str


class FileInfo(Message):
    """A file from which rows were taken."""

    contribution: int = Field(description="The number that its rows carry, in `_contribution`.")
    table: str
    source: str
    size_bytes: int | None
    sha256: str | None
    rows: int
    rejected: int


class LoadInfo(Message):
    """A load."""

    name: str
    kind: str = Field(
        description="load; transaction: one into which contributions are sent; index: of a table, made or dropped; column: added; "
        "withdrawal."
    )
    database: str
    state: TransactionState
    committing: bool = Field(description="Whether it is to be committed, when all that was sent is done.")
    begun: datetime
    ended: datetime | None
    withdrawn: datetime | None = Field(description="When the rows of a committed one were taken away.")
    user: str
    host: str
    software: str
    attempt: int = Field(description="How often the service has begun it: more than 1 where the service or a node died.")
    rows: int = Field(description="Taken from files that are read to their end.")
    rejected: int
    progress: tuple[StageInfo, ...]
    report: ReportInfo | None
    error: ErrorInfo | None = Field(description="Why it was aborted, or why a transaction that is open could not be committed.")

    @property
    def settled(self) -> bool:
        """Whether nothing more comes of it by itself: it has ended, or its commit was refused."""
        return self.ended is not None or (not self.committing and self.error is not None and self.state is TransactionState.OPEN)


class TableStatus(Message):
    """A table as it lies on the nodes."""

    name: str
    role: str
    published: bool
    rows: int
    overlap_rows: int
    chunks: int
    columns: int
    indexes: tuple[tuple[str, ...], ...] = Field(description="Columns of each index.")


class ColumnStatus(Message):
    """A column over all rows of its table. What NaN is among its values counts neither as smallest nor as largest."""

    name: str
    datatype: str
    unit: str | None
    ucd: str | None
    optional: bool = Field(description="Whether files need not have it: it was added.")
    default: str | None = Field(description="Its value in rows whose file does not have it; null is NULL.")
    minimum: str | None = Field(description="As PostgreSQL writes it; null where there is no value.")
    maximum: str | None
    nulls: int
    has_nan: bool
    has_infinity: bool


class TableStatistics(TableStatus):
    """A table with what is known of its columns."""

    statistics: tuple[ColumnStatus, ...]


class ChunkStatus(Message):
    """A chunk in which a table has rows."""

    chunk: int = Field(description="NUNIQ of its pixel; 0 for rows without position; -1 for a replicated table.")
    rows: int
    overlap_rows: int
    nodes: tuple[str, ...] = Field(description="Nodes that hold it.")


class DatabaseStatus(Message):
    """A database with its tables."""

    name: str
    family: str
    description: str
    version: str
    tables: tuple[TableStatus, ...]

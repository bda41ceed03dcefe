"""What travels between the czar's API and its clients, as JSON."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qserv.api.messages import ErrorInfo, Message
from qserv.metadata.jobs import JobState

MAX_WAIT_S = 60.0
"""How long a client may wait for a job's end in one request: proxies break off what is silent for longer."""

ResultFormat = Literal["arrow", "parquet"]


class Statement(Message):
    """A query."""

    query: str = Field(description="Its text.")
    dialect: str = Field(default="native", description="`native` is PostgreSQL's SELECT; `mysql` is Qserv's; `adql` is ADQL 2.1.")


class ExplainRequest(Statement):
    """A query whose plan is asked for."""

    analyze: bool = Field(default=False, description="Run the query, throw its rows away, and tell what each part of it took.")


class QueryRequest(Statement):
    """A query whose answer is waited for."""

    max_rows: int | None = Field(default=None, ge=0, description="Rows of the answer at the most.")
    format: ResultFormat = Field(default="arrow", description="Arrow IPC stream, or Parquet.")
    query_id: UUID | None = Field(default=None, description="Its name in /queries, made by the client so as to ask meanwhile.")


class JobRequest(Statement):
    """A query that runs on its own."""

    max_rows: int | None = Field(default=None, ge=1, description="Rows of the result at the most.")


class JobInfo(Message):
    """An asynchronous query."""

    job_id: UUID
    owner: str
    dialect: str
    query: str
    max_rows: int
    state: JobState
    cancel_requested: bool
    attempt: int = Field(description="How often a czar has begun to run it: more than 1 where a czar died.")
    submitted: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None = Field(description="When job and result are deleted.")
    eta_s: float | None = Field(description="Seconds that the rest will take, judged by the chunks done.")
    chunks_done: int | None
    chunks_total: int | None
    rows: int | None = Field(description="Of the result; those that have come while it runs.")
    size_bytes: int | None = Field(description="Their bytes in Arrow's memory.")
    overflow: bool = Field(description="Whether there were more rows than max_rows.")
    error: ErrorInfo | None


class QueryInfo(Message):
    """A query of the query log, as it runs or as it ended."""

    query_id: UUID
    user: str
    dialect: str
    query: str
    state: Literal["executing", "completed", "error", "aborted"]
    submitted: datetime
    ended: datetime | None
    plan_shape: str | None = Field(description="How it was answered: steps, access to the chunks, what was done with their rows.")
    chunks_done: int | None
    chunks_total: int | None
    rows: int | None = Field(description="Of the answer; those that have come while it runs.")
    size_bytes: int | None = Field(description="Their bytes in Arrow's memory.")
    error: ErrorInfo | None
    czar: str | None = Field(description="Where it runs: host and process id.")
    job_id: UUID | None


class Plan(Message):
    """How a query would be answered."""

    text: str = Field(description="For people.")
    facts: dict[str, Any] = Field(description="For programs: chunks, nodes, statements.")


class ColumnInfo(Message):
    """A column of a table."""

    name: str
    datatype: str
    unit: str | None
    ucd: str | None
    description: str


class TableInfo(Message):
    """A published table."""

    database: str
    name: str
    role: str
    description: str
    rows: int | None = Field(description="None where they are not counted.")
    columns: tuple[ColumnInfo, ...]


class TableDeclaration(Message):
    """All that was declared of a published table, and where it stands."""

    database: str
    description: str = Field(description="Of the database.")
    version: str = Field(description="Of the database.")
    family: str
    overlap_deg: float
    table: dict[str, Any] = Field(description="As `schema.serialise` writes it.")
    rows: int | None = Field(description="None where they are not counted.")
    edition: str = Field(description="Another one as soon as the table has other rows.")

"""What can be asked of the ingest service: requests, and what their answers are."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from ingest.formats.source import ReadOptions
from ingest.service.models import (
    AliasRequest,
    ChunkStatus,
    ColumnRequest,
    ContributionInfo,
    ContributionRequest,
    DatabaseStatus,
    FileInfo,
    IndexRequest,
    LoadInfo,
    LoadRequest,
    ServiceInfo,
    TableStatistics,
    TransactionRequest,
    WithdrawalRequest,
)
from ingest.service.sent_rows import Content
from qserv.api.errors import error_of
from qserv.api.messages import ErrorDocument, Message
from qserv.errors import QservError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request, and what its answer is."""

    method: str
    path: str
    read: Callable[[bytes], Answer]
    body: Message | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    content: Content | None = None
    """What is sent, rather than JSON."""

    def request(self) -> dict[str, Any]:
        """Return the arguments of httpx for it."""
        json = None if self.body is None else self.body.model_dump(mode="json")
        return {"method": self.method, "url": self.path, "json": json, "params": self.parameters}

    def answer(self, response: httpx.Response) -> Answer:
        """Return what was answered, or raise the error that it tells of."""
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return self.read(response.content)
        try:
            raise error_of(ErrorDocument.model_validate_json(response.content).error)
        except ValidationError as error:
            msg = f"{response.url} answered {response.status_code}, which is no answer of an ingest service"
            raise QservError(msg) from error


_LOAD = TypeAdapter(LoadInfo).validate_json
_LOADS = TypeAdapter(list[LoadInfo]).validate_json
_FILES = TypeAdapter(list[FileInfo]).validate_json
_DATABASE = TypeAdapter(DatabaseStatus).validate_json
_DATABASES = TypeAdapter(list[DatabaseStatus]).validate_json
_CONTRIBUTION = TypeAdapter(ContributionInfo).validate_json
_CONTRIBUTIONS = TypeAdapter(list[ContributionInfo]).validate_json
_ALIASES = TypeAdapter(dict[str, str]).validate_json
_READING = TypeAdapter(ReadOptions)


def _nothing(_content: bytes) -> None:
    return None


def service() -> Call[ServiceInfo]:
    """Tell of the service."""
    return Call("GET", "/", TypeAdapter(ServiceInfo).validate_json)


def submit(name: str, request: LoadRequest) -> Call[LoadInfo]:
    """Queue a load."""
    return Call("PUT", f"/loads/{_part(name)}", _LOAD, request)


def load(name: str, wait_s: float) -> Call[LoadInfo]:
    """Tell of a load."""
    return Call("GET", f"/loads/{_part(name)}", _LOAD, parameters=(("wait_s", str(wait_s)),))


def loads(limit: int) -> Call[list[LoadInfo]]:
    """List loads."""
    return Call("GET", "/loads", _LOADS, parameters=(("limit", str(limit)),))


def files(name: str) -> Call[list[FileInfo]]:
    """List the files of a load."""
    return Call("GET", f"/loads/{_part(name)}/files", _FILES)


def rejects(name: str) -> Call[bytes]:
    """Return the rows that a load set aside."""
    return Call("GET", f"/loads/{_part(name)}/rejects", bytes)


def cancel(name: str) -> Call[LoadInfo]:
    """Stop a load or a transaction."""
    return Call("POST", f"/loads/{_part(name)}/cancel", _LOAD)


def publish(database: str, table: str | None, *, withheld: bool) -> Call[DatabaseStatus]:
    """Show users tables, or withhold them."""
    parameters = () if table is None else (("table", table),)
    return Call("POST", f"/databases/{_part(database)}/{'withhold' if withheld else 'publish'}", _DATABASE, parameters=parameters)


def aliases() -> Call[dict[str, str]]:
    """List aliases."""
    return Call("GET", "/aliases", _ALIASES)


def set_alias(alias: str, database: str) -> Call[None]:
    """Let a name mean a database."""
    return Call("PUT", f"/aliases/{_part(alias)}", _nothing, AliasRequest(database=database))


def drop_alias(alias: str) -> Call[None]:
    """Let a name mean nothing any more."""
    return Call("DELETE", f"/aliases/{_part(alias)}", _nothing)


def drop(database: str, table: str | None) -> Call[None]:
    """Delete tables."""
    path = f"/databases/{_part(database)}"
    return Call("DELETE", path if table is None else f"{path}/tables/{_part(table)}", _nothing)


def index(name: str, database: str, table: str, request: IndexRequest) -> Call[LoadInfo]:
    """Make or drop an index."""
    return Call("PUT", f"/databases/{_part(database)}/tables/{_part(table)}/indexes/{_part(name)}", _LOAD, request)


def withdraw(name: str, request: WithdrawalRequest) -> Call[LoadInfo]:
    """Take the rows of a transaction away."""
    return Call("PUT", f"/withdrawals/{_part(name)}", _LOAD, request)


def add_column(name: str, database: str, table: str, request: ColumnRequest) -> Call[LoadInfo]:
    """Add a column to a table."""
    return Call("PUT", f"/databases/{_part(database)}/tables/{_part(table)}/columns/{_part(name)}", _LOAD, request)


def databases() -> Call[list[DatabaseStatus]]:
    """List databases."""
    return Call("GET", "/databases", _DATABASES)


def database(name: str) -> Call[DatabaseStatus]:
    """Tell of a database."""
    return Call("GET", f"/databases/{_part(name)}", _DATABASE)


def table(database: str, name: str) -> Call[TableStatistics]:
    """Tell of a table."""
    return Call("GET", f"/databases/{_part(database)}/tables/{_part(name)}", TypeAdapter(TableStatistics).validate_json)


def chunks(database: str, table: str, after: int | None, limit: int) -> Call[list[ChunkStatus]]:
    """List the chunks of a table."""
    parameters = (("limit", str(limit)), *((("after", str(after)),) if after is not None else ()))
    path = f"/databases/{_part(database)}/tables/{_part(table)}/chunks"
    return Call("GET", path, TypeAdapter(list[ChunkStatus]).validate_json, parameters=parameters)


def begin(name: str, request: TransactionRequest) -> Call[LoadInfo]:
    """Begin a transaction."""
    return Call("PUT", f"/transactions/{_part(name)}", _LOAD, request)


def commit(name: str) -> Call[LoadInfo]:
    """Commit a transaction."""
    return Call("POST", f"/transactions/{_part(name)}/commit", _LOAD)


def send(transaction: str, name: str, request: ContributionRequest) -> Call[ContributionInfo]:
    """Send files into a transaction."""
    return Call("PUT", _contribution(transaction, name), _CONTRIBUTION, request)


def upload(transaction: str, name: str, table: str, content: Content, reading: ReadOptions | None) -> Call[ContributionInfo]:
    """Send a file with the request."""
    parameters = [("table", table)]
    if isinstance(content, Path):
        parameters.append(("file_name", content.name))
    if reading is not None:
        parameters.append(("reading", _READING.dump_json(reading).decode()))
    return Call("PUT", f"{_contribution(transaction, name)}/rows", _CONTRIBUTION, None, tuple(parameters), content)


def contributions(transaction: str) -> Call[list[ContributionInfo]]:
    """List what was sent into a transaction."""
    return Call("GET", f"/transactions/{_part(transaction)}/contributions", _CONTRIBUTIONS)


def contribution(transaction: str, name: str, wait_s: float) -> Call[ContributionInfo]:
    """Tell of a contribution."""
    return Call("GET", _contribution(transaction, name), _CONTRIBUTION, parameters=(("wait_s", str(wait_s)),))


def contribution_rejects(transaction: str, name: str) -> Call[bytes]:
    """Return the rows that a contribution set aside."""
    return Call("GET", f"{_contribution(transaction, name)}/rejects", bytes)


def cancel_contribution(transaction: str, name: str) -> Call[ContributionInfo]:
    """Let a contribution not be taken."""
    return Call("POST", f"{_contribution(transaction, name)}/cancel", _CONTRIBUTION)


def _contribution(transaction: str, name: str) -> str:
    return f"/transactions/{_part(transaction)}/contributions/{_part(name)}"


def _part(name: str) -> str:
    return quote(name, safe="")

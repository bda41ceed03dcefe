"""The web application of the ingest service."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Query, Request
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import FileResponse, Response

from ingest.formats.source import DEFAULT
from ingest.service.contributions import Contributions, read_options
from ingest.service.databases import Databases
from ingest.service.models import (
    MAX_WAIT_S,
    AliasRequest,
    ChunkStatus,
    ColumnRequest,
    ContributionInfo,
    ContributionRequest,
    DatabaseStatus,
    FileInfo,
    IndexRequest,
    LoadInfo,
    LoadName,
    LoadRequest,
    ServiceInfo,
    TableStatistics,
    TransactionRequest,
    WithdrawalRequest,
)
from ingest.service.receiving import Upload
from ingest.service.requests import Requests
from ingest.service.runner import LoadRunner
from qserv.api.app import HEALTH_PATH, User, create_api
from qserv.api.messages import ANONYMOUS
from qserv.metadata.engine import connect

MAX_BODY_BYTES = 16 * 2**20
"""Largest request: a schema of thousands of columns, or a list of a hundred thousand files."""

ANY_BYTES = sys.maxsize
"""Of a file that is sent: a route without a limit would have that of all others."""

LISTED_CHUNKS = 10_000
"""Chunks of one page at the most."""

LISTED_LOADS = 1000
"""Loads of one list at the most."""

Name = Annotated[LoadName, Path(description="Given by who asks first. Asking for the same again finds what was asked before.")]

Alias = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$", description="What queries write for a database.")]


@dataclass(frozen=True)
class Parts:
    """What the routes are made of."""

    engine: AsyncEngine
    requests: Requests
    contributions: Contributions
    runner: LoadRunner
    databases: Databases
    flight_port: int


def create_app(parts: Parts, token: SecretStr) -> FastAPI:
    """Return the application; whoever asks must know the token."""
    app = create_api(
        "Qserv ingest",
        "Loads of files into tables of a sharded catalogue. Every answer that is an error is JSON.",
        token,
        (
            service_router(parts),
            load_router(parts),
            transaction_router(parts),
            withdrawal_router(parts),
            database_router(parts),
            table_router(parts),
            alias_router(parts),
        ),
        max_body_bytes=MAX_BODY_BYTES,
    )

    @app.get(HEALTH_PATH, tags=["health"])
    async def health() -> dict[str, str]:
        """Tell that the metadata database answers; needs no token."""
        async with connect(parts.engine) as connection:
            await connection.execute(select(1))
        return {"status": "ok"}

    return app


def service_router(parts: Parts) -> APIRouter:
    """Return the route of the service itself."""
    router = APIRouter(tags=["service"])

    @router.get("/")
    async def service(request: Request) -> ServiceInfo:
        """Tell where rows are sent over Arrow Flight."""
        return ServiceInfo(flight=str(request.url.replace(scheme="grpc", port=parts.flight_port, path="", query="")))

    return router


def load_router(parts: Parts) -> APIRouter:
    """Return the routes of loads."""
    router = APIRouter(prefix="/loads", tags=["loads"])
    requests, runner = parts.requests, parts.runner

    @router.put("/{name}", status_code=202)
    async def submit(name: Name, request: LoadRequest, user: User = ANONYMOUS) -> LoadInfo:
        """Queue a load. It runs on its own, also when the client goes away or the service is started anew.

        Asking for the same again does nothing, unless the load was aborted: then it is queued again.
        """
        load = await requests.submit(name, request, user)
        runner.wake()
        return load

    @router.get("")
    async def listed(limit: Annotated[int, Query(ge=1, le=LISTED_LOADS)] = 100) -> list[LoadInfo]:
        """List loads, the newest first."""
        return await requests.latest(limit)

    @router.get("/{name}")
    async def one(name: Name, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0) -> LoadInfo:
        """Tell how far a load is; with `wait_s`, as soon as it has ended or so many seconds are over."""
        return await requests.load(name, wait_s)

    @router.get("/{name}/files")
    async def files(name: Name) -> list[FileInfo]:
        """List the files from which rows were taken, with their checksums."""
        return await requests.files(name)

    @router.get("/{name}/rejects", response_class=Response)
    async def rejects(name: Name) -> Response:
        """Return the rows that were set aside, a JSON object a line."""
        await requests.load(name)
        path = runner.rejects_of(name)
        media_type = "application/jsonl"
        return FileResponse(path, media_type=media_type) if path.exists() else Response(b"", media_type=media_type)

    @router.post("/{name}/cancel", status_code=202)
    async def cancel(name: Name) -> LoadInfo:
        """Stop a load; nothing of it will be visible. Does nothing to one that has ended."""
        await requests.load(name)
        await runner.cancel(name)
        return await requests.load(name)

    return router


def transaction_router(parts: Parts) -> APIRouter:
    """Return the routes of transactions into which contributions are sent one by one."""
    router = APIRouter(prefix="/transactions", tags=["transactions"])
    requests, contributions, runner = parts.requests, parts.contributions, parts.runner

    @router.put("/{name}", status_code=202)
    async def begin(name: Name, request: TransactionRequest, user: User = ANONYMOUS) -> LoadInfo:
        """Begin a transaction; what is sent into it is seen together when it is committed, or not at all.

        It is open until it is committed or cancelled, also when the service is started anew. `/loads` tells of it.
        """
        load = await requests.submit(name, request, user)
        runner.wake()
        return load

    @router.get("/{name}/contributions")
    async def listed(name: Name) -> list[ContributionInfo]:
        """List what was sent, in the order in which it was."""
        return await contributions.listed(name)

    @router.put("/{name}/contributions/{contribution}", status_code=202)
    async def send(name: Name, contribution: Name, request: ContributionRequest) -> ContributionInfo:
        """Send files that the service reads. Sending the same again does nothing, unless it failed or was cancelled."""
        sent = await contributions.send(name, contribution, request)
        runner.tell(name)
        return sent

    @router.put("/{name}/contributions/{contribution}/rows", status_code=202, max_body_size=ANY_BYTES)
    async def upload(  # noqa: PLR0913, PLR0917 (the parts of the request)
        name: Name,
        contribution: Name,
        table: str,
        request: Request,
        file_name: Annotated[str, Query(description="By whose ending CSV is known.")] = "rows",
        reading: Annotated[str | None, Query(description="How it is read, as JSON.")] = None,
    ) -> ContributionInfo:
        """Send a file as the body of the request."""
        options = DEFAULT if reading is None else read_options(reading)
        sent = await contributions.upload(name, contribution, Upload(table, file_name, options), request.stream())
        runner.tell(name)
        return sent

    @router.get("/{name}/contributions/{contribution}")
    async def one(name: Name, contribution: Name, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0) -> ContributionInfo:
        """Tell how far a contribution is; with `wait_s`, as soon as it is done or failed, or so many seconds are over."""
        return await contributions.one(name, contribution, wait_s)

    @router.get("/{name}/contributions/{contribution}/rejects", response_class=Response)
    async def rejects(name: Name, contribution: Name) -> Response:
        """Return the rows of a contribution that were set aside, a JSON object a line."""
        numbers = await contributions.ids(name, contribution)
        return Response(await asyncio.to_thread(runner.rejects_of_contribution, numbers), media_type="application/jsonl")

    @router.post("/{name}/contributions/{contribution}/cancel", status_code=202)
    async def cancel(name: Name, contribution: Name) -> ContributionInfo:
        """Let a contribution not be taken, as far as it is not done."""
        found = await contributions.cancel(name, contribution)
        runner.tell(name)
        return found

    @router.post("/{name}/commit", status_code=202)
    async def commit(name: Name) -> LoadInfo:
        """Commit, when all that was sent is done. If a contribution failed, the transaction stays open and its error says so."""
        await contributions.commit(name)
        runner.tell(name)
        return await requests.load(name)

    return router


def withdrawal_router(parts: Parts) -> APIRouter:
    """Return the route by which transactions are taken back."""
    router = APIRouter(prefix="/withdrawals", tags=["transactions"])

    @router.put("/{name}", status_code=202)
    async def withdraw(name: Name, request: WithdrawalRequest, user: User = ANONYMOUS) -> LoadInfo:
        """Take the rows of a committed transaction away, of all tables at once, while queries go on. `/loads` tells of it."""
        load = await parts.requests.submit_withdrawal(name, request, user)
        parts.runner.wake()
        return load

    return router


def alias_router(parts: Parts) -> APIRouter:
    """Return the routes of further names of databases."""
    router = APIRouter(prefix="/aliases", tags=["aliases"])

    @router.get("")
    async def listed() -> dict[str, str]:
        """Return the databases that aliases mean, by these."""
        return await parts.databases.aliases()

    @router.put("/{alias}", status_code=204)
    async def put(alias: Alias, request: AliasRequest) -> None:
        """Let a name mean a database, for all queries that begin from now on. Queries that run go on with what it meant."""
        await parts.databases.set_alias(alias, request.database)

    @router.delete("/{alias}", status_code=204)
    async def drop(alias: Alias) -> None:
        """Let a name mean nothing any more."""
        await parts.databases.drop_alias(alias)

    return router


def database_router(parts: Parts) -> APIRouter:
    """Return the routes of databases and tables."""
    router = APIRouter(prefix="/databases", tags=["databases"])
    databases = parts.databases

    @router.get("")
    async def listed() -> list[DatabaseStatus]:
        """List databases with their tables, published or not."""
        return await databases.listed()

    @router.get("/{database}")
    async def one(database: str) -> DatabaseStatus:
        """Tell of the tables of a database, published or not."""
        return await databases.one(database)

    @router.post("/{database}/publish")
    async def publish(database: str, table: str | None = None) -> DatabaseStatus:
        """Show users tables that were withheld from them: all of a database, or one."""
        return await databases.withhold(database, table, withheld=False)

    @router.post("/{database}/withhold")
    async def withhold(database: str, table: str | None = None) -> DatabaseStatus:
        """Withhold tables from users: all of a database, or one. Their rows stay; queries that run go on."""
        return await databases.withhold(database, table, withheld=True)

    @router.delete("/{database}", status_code=204)
    async def drop_database(database: str) -> None:
        """Delete all tables of a database from all nodes. Deleting what is not there does nothing."""
        await databases.drop(database)

    return router


def table_router(parts: Parts) -> APIRouter:
    """Return the routes of tables."""
    router = APIRouter(prefix="/databases/{database}/tables/{table}", tags=["tables"])
    databases = parts.databases

    @router.get("")
    async def statistics(database: str, table: str) -> TableStatistics:
        """Tell of a table, with the ranges of its columns."""
        return await databases.table(database, table)

    @router.get("/chunks")
    async def chunks(
        database: str,
        table: str,
        after: Annotated[int | None, Query(description="The last chunk of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=LISTED_CHUNKS)] = 1000,
    ) -> list[ChunkStatus]:
        """List the chunks in which a table has rows, and the nodes that hold them."""
        return await databases.chunks(database, table, after, limit)

    @router.put("/indexes/{name}", status_code=202)
    async def index(name: Name, database: str, table: str, request: IndexRequest, user: User = ANONYMOUS) -> LoadInfo:
        """Make an index of a published table, or drop one, while queries go on. `/loads` tells how far that is."""
        load = await parts.requests.submit_index(name, database, table, request, user)
        parts.runner.wake()
        return load

    @router.put("/columns/{name}", status_code=202)
    async def add_column(name: Name, database: str, table: str, request: ColumnRequest, user: User = ANONYMOUS) -> LoadInfo:
        """Add a column to a published table while queries go on. `/loads` tells how far that is."""
        load = await parts.requests.submit_column(name, database, table, request, user)
        parts.runner.wake()
        return load

    @router.delete("", status_code=204)
    async def drop_table(database: str, table: str) -> None:
        """Delete a table from all nodes, unless others depend on it. Deleting what is not there does nothing."""
        await databases.drop(database, table)

    return router

"""Clients of the ingest service, for programs that wait and for those that do something else meanwhile.

>>> with Ingest.of_home(home) as ingest:
...     ingest.submit("night-1", LoadRequest(schema_file="/data/sky.yaml", files={"object": ["/data/object"]}))
...     load = ingest.finished("night-1")

`AsyncIngest` has the same methods, to be awaited.
"""

import getpass
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pyarrow as pa

from ingest.formats.source import ReadOptions
from ingest.service import calls
from ingest.service.calls import Call
from ingest.service.models import (
    MAX_WAIT_S,
    ChunkStatus,
    ColumnRequest,
    ContributionInfo,
    ContributionRequest,
    DatabaseStatus,
    FileInfo,
    IndexRequest,
    LoadInfo,
    LoadRequest,
    StreamRequest,
    TableStatistics,
    TransactionRequest,
    WithdrawalRequest,
)
from ingest.service.sent_rows import Content, parts, parts_async
from ingest.service.stream_client import send_stream, send_stream_async
from qserv.cluster import Cluster, Secrets
from qserv.errors import IngestLostError

CONNECT_TIMEOUT_S = 5.0
"""A service that runs takes a connection at once."""

ANSWER_TIMEOUT_S = MAX_WAIT_S + 30.0
"""A service that is asked to wait answers within `MAX_WAIT_S`."""

Answer = TypeVar("Answer")


class _Client:
    """What both clients know."""

    def __init__(self, url: str, token: str, user: str) -> None:
        self._url, self._token = url, token
        self._options: dict[str, Any] = {
            "base_url": url,
            "headers": {"Authorization": f"Bearer {token}", "Qserv-User": user},
            "timeout": httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            "trust_env": False,
        }

    @classmethod
    def of_home(cls, home: Path, user: str | None = None) -> Self:
        """Return a client of the cluster that runs in a home.

        Raises
        ------
        ClusterNotRunningError
            None does.
        """
        secret = Secrets.load(home).cluster.get_secret_value()
        return cls(Cluster.load(home).ingest_url, secret, user or getpass.getuser())

    def _lost(self, error: httpx.HTTPError) -> IngestLostError:
        why = str(error) or type(error).__name__
        return IngestLostError(f"the ingest service at {self._url} does not answer: {why}; is the cluster up (`qserv status`)?")


class Ingest(_Client):
    """The ingest service, asked over HTTP. Every method raises the `QservError` that the service told of.

    Parameters
    ----------
    url, token
        As `Cluster.ingest_url` and `Secrets.cluster` have them.
    user
        Who loads, as `qserv loads` shows it.
    """

    def __init__(self, url: str, token: str, user: str) -> None:
        super().__init__(url, token, user)
        self._http = httpx.Client(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, name: str, request: LoadRequest) -> LoadInfo:
        """Queue a load. The same request under the same name finds what it made before."""
        return self._asked(calls.submit(name, request))

    def load(self, name: str, wait_s: float = 0.0) -> LoadInfo:
        """Return a load: as soon as it has ended, or as it is after so many seconds (60 at the most)."""
        return self._asked(calls.load(name, wait_s))

    def finished(self, name: str, timeout_s: float | None = None) -> LoadInfo:
        """Return a load that has ended, or a transaction whose commit is refused, with the error that says why.

        Raises
        ------
        TimeoutError
            It has not, after so many seconds.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = MAX_WAIT_S if until_s is None else until_s - time.monotonic()
            load = self.load(name, min(max(left_s, 0.0), MAX_WAIT_S))
            if load.settled:
                return load
            if left_s <= 0:
                msg = f"load {name} has not ended within {timeout_s} s; it goes on"
                raise TimeoutError(msg)

    def loads(self, limit: int = 100) -> list[LoadInfo]:
        """Return loads, the newest first."""
        return self._asked(calls.loads(limit))

    def files(self, name: str) -> list[FileInfo]:
        """Return the files from which a load took rows."""
        return self._asked(calls.files(name))

    def rejects(self, name: str) -> bytes:
        """Return the rows that a load set aside, a JSON object a line."""
        return self._asked(calls.rejects(name))

    def cancel(self, name: str) -> LoadInfo:
        """Stop a load; nothing of it will be visible."""
        return self._asked(calls.cancel(name))

    def begin(self, name: str, request: TransactionRequest) -> LoadInfo:
        """Begin a transaction, into which contributions are sent. The same request under the same name finds it again."""
        return self._asked(calls.begin(name, request))

    def send(self, transaction: str, name: str, request: ContributionRequest) -> ContributionInfo:
        """Send files, which the service reads, into a transaction."""
        return self._asked(calls.send(transaction, name, request))

    def upload(
        self, transaction: str, name: str, table: str, content: Content, reading: ReadOptions | None = None
    ) -> ContributionInfo:
        """Send a file with the request, or what is in one, or rows, which need no file anywhere. CSV is known by its ending."""
        return self._asked(calls.upload(transaction, name, table, content, reading))

    def stream(
        self, transaction: str, name: str, table: str, rows: pa.RecordBatchReader, *, ignore_units: bool = False
    ) -> ContributionInfo:
        """Send rows over Arrow Flight, batch by batch as the service writes them; columns are checked before the first one."""
        request = StreamRequest(transaction=transaction, contribution=name, table=table, ignore_units=ignore_units)
        return send_stream(self._asked(calls.service()).flight, self._token, request, rows)

    def contributions(self, transaction: str) -> list[ContributionInfo]:
        """Return what was sent into a transaction."""
        return self._asked(calls.contributions(transaction))

    def contribution(self, transaction: str, name: str, wait_s: float = 0.0) -> ContributionInfo:
        """Return a contribution: as soon as it is done or failed, or as it is after so many seconds (60 at the most)."""
        return self._asked(calls.contribution(transaction, name, wait_s))

    def contribution_rejects(self, transaction: str, name: str) -> bytes:
        """Return the rows that a contribution set aside, a JSON object a line."""
        return self._asked(calls.contribution_rejects(transaction, name))

    def cancel_contribution(self, transaction: str, name: str) -> ContributionInfo:
        """Let a contribution not be taken, as far as it is not done."""
        return self._asked(calls.cancel_contribution(transaction, name))

    def commit(self, transaction: str) -> LoadInfo:
        """Ask that a transaction be committed when all that was sent is done."""
        return self._asked(calls.commit(transaction))

    def databases(self) -> list[DatabaseStatus]:
        """Return the databases with their tables, published or not."""
        return self._asked(calls.databases())

    def database(self, name: str) -> DatabaseStatus:
        """Return a database with its tables."""
        return self._asked(calls.database(name))

    def table(self, database: str, name: str) -> TableStatistics:
        """Return a table with the ranges of its columns."""
        return self._asked(calls.table(database, name))

    def chunks(self, database: str, table: str, after: int | None = None, limit: int = 1000) -> list[ChunkStatus]:
        """Return chunks in which a table has rows, those behind one."""
        return self._asked(calls.chunks(database, table, after, limit))

    def index(self, name: str, database: str, table: str, request: IndexRequest) -> LoadInfo:
        """Queue the making or dropping of an index of a published table, under a name as loads have."""
        return self._asked(calls.index(name, database, table, request))

    def withdraw(self, name: str, transaction: str) -> LoadInfo:
        """Queue the withdrawal of a committed transaction, under a name as loads have."""
        return self._asked(calls.withdraw(name, WithdrawalRequest(transaction=transaction)))

    def add_column(self, name: str, database: str, table: str, request: ColumnRequest) -> LoadInfo:
        """Queue the addition of a column to a published table, under a name as loads have."""
        return self._asked(calls.add_column(name, database, table, request))

    def publish(self, database: str, table: str | None = None) -> DatabaseStatus:
        """Show users a table, or all of a database, that was withheld from them."""
        return self._asked(calls.publish(database, table, withheld=False))

    def withhold(self, database: str, table: str | None = None) -> DatabaseStatus:
        """Withhold a table, or all of a database, from users; its rows stay."""
        return self._asked(calls.publish(database, table, withheld=True))

    def aliases(self) -> dict[str, str]:
        """Return the databases that aliases mean, by these."""
        return self._asked(calls.aliases())

    def set_alias(self, alias: str, database: str) -> None:
        """Let a name mean a database, for all queries that begin from now on."""
        self._asked(calls.set_alias(alias, database))

    def drop_alias(self, alias: str) -> None:
        """Let a name mean nothing any more."""
        self._asked(calls.drop_alias(alias))

    def drop(self, database: str, table: str | None = None) -> None:
        """Delete a table, or all tables of a database, from all nodes."""
        self._asked(calls.drop(database, table))

    def _asked(self, call: Call[Answer]) -> Answer:
        try:
            response = self._http.request(**call.request(), content=parts(call.content))
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        return call.answer(response)


class AsyncIngest(_Client):
    """As `Ingest`, for programs with an event loop: every method is awaited."""

    def __init__(self, url: str, token: str, user: str) -> None:
        super().__init__(url, token, user)
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(self, name: str, request: LoadRequest) -> LoadInfo:
        """See `Ingest.submit`."""
        return await self._asked(calls.submit(name, request))

    async def load(self, name: str, wait_s: float = 0.0) -> LoadInfo:
        """See `Ingest.load`."""
        return await self._asked(calls.load(name, wait_s))

    async def finished(self, name: str) -> LoadInfo:
        """See `Ingest.finished`."""
        while not (load := await self.load(name, MAX_WAIT_S)).settled:
            pass
        return load

    async def loads(self, limit: int = 100) -> list[LoadInfo]:
        """See `Ingest.loads`."""
        return await self._asked(calls.loads(limit))

    async def files(self, name: str) -> list[FileInfo]:
        """See `Ingest.files`."""
        return await self._asked(calls.files(name))

    async def rejects(self, name: str) -> bytes:
        """See `Ingest.rejects`."""
        return await self._asked(calls.rejects(name))

    async def cancel(self, name: str) -> LoadInfo:
        """See `Ingest.cancel`."""
        return await self._asked(calls.cancel(name))

    async def begin(self, name: str, request: TransactionRequest) -> LoadInfo:
        """See `Ingest.begin`."""
        return await self._asked(calls.begin(name, request))

    async def send(self, transaction: str, name: str, request: ContributionRequest) -> ContributionInfo:
        """See `Ingest.send`."""
        return await self._asked(calls.send(transaction, name, request))

    async def upload(
        self, transaction: str, name: str, table: str, content: Content, reading: ReadOptions | None = None
    ) -> ContributionInfo:
        """See `Ingest.upload`."""
        return await self._asked(calls.upload(transaction, name, table, content, reading))

    async def stream(
        self, transaction: str, name: str, table: str, rows: pa.RecordBatchReader, *, ignore_units: bool = False
    ) -> ContributionInfo:
        """See `Ingest.stream`; rows are taken from the reader in a thread."""
        request = StreamRequest(transaction=transaction, contribution=name, table=table, ignore_units=ignore_units)
        url = (await self._asked(calls.service())).flight
        return await send_stream_async(url, self._token, request, rows)

    async def contributions(self, transaction: str) -> list[ContributionInfo]:
        """See `Ingest.contributions`."""
        return await self._asked(calls.contributions(transaction))

    async def contribution(self, transaction: str, name: str, wait_s: float = 0.0) -> ContributionInfo:
        """See `Ingest.contribution`."""
        return await self._asked(calls.contribution(transaction, name, wait_s))

    async def contribution_rejects(self, transaction: str, name: str) -> bytes:
        """See `Ingest.contribution_rejects`."""
        return await self._asked(calls.contribution_rejects(transaction, name))

    async def cancel_contribution(self, transaction: str, name: str) -> ContributionInfo:
        """See `Ingest.cancel_contribution`."""
        return await self._asked(calls.cancel_contribution(transaction, name))

    async def commit(self, transaction: str) -> LoadInfo:
        """See `Ingest.commit`."""
        return await self._asked(calls.commit(transaction))

    async def databases(self) -> list[DatabaseStatus]:
        """See `Ingest.databases`."""
        return await self._asked(calls.databases())

    async def database(self, name: str) -> DatabaseStatus:
        """See `Ingest.database`."""
        return await self._asked(calls.database(name))

    async def table(self, database: str, name: str) -> TableStatistics:
        """See `Ingest.table`."""
        return await self._asked(calls.table(database, name))

    async def chunks(self, database: str, table: str, after: int | None = None, limit: int = 1000) -> list[ChunkStatus]:
        """See `Ingest.chunks`."""
        return await self._asked(calls.chunks(database, table, after, limit))

    async def index(self, name: str, database: str, table: str, request: IndexRequest) -> LoadInfo:
        """See `Ingest.index`."""
        return await self._asked(calls.index(name, database, table, request))

    async def withdraw(self, name: str, transaction: str) -> LoadInfo:
        """See `Ingest.withdraw`."""
        return await self._asked(calls.withdraw(name, WithdrawalRequest(transaction=transaction)))

    async def add_column(self, name: str, database: str, table: str, request: ColumnRequest) -> LoadInfo:
        """See `Ingest.add_column`."""
        return await self._asked(calls.add_column(name, database, table, request))

    async def publish(self, database: str, table: str | None = None) -> DatabaseStatus:
        """Show users a table, or all of a database, that was withheld from them."""
        return await self._asked(calls.publish(database, table, withheld=False))

    async def withhold(self, database: str, table: str | None = None) -> DatabaseStatus:
        """Withhold a table, or all of a database, from users; its rows stay."""
        return await self._asked(calls.publish(database, table, withheld=True))

    async def aliases(self) -> dict[str, str]:
        """Return the databases that aliases mean, by these."""
        return await self._asked(calls.aliases())

    async def set_alias(self, alias: str, database: str) -> None:
        """Let a name mean a database, for all queries that begin from now on."""
        await self._asked(calls.set_alias(alias, database))

    async def drop_alias(self, alias: str) -> None:
        """Let a name mean nothing any more."""
        await self._asked(calls.drop_alias(alias))

    async def drop(self, database: str, table: str | None = None) -> None:
        """See `Ingest.drop`."""
        await self._asked(calls.drop(database, table))

    async def _asked(self, call: Call[Answer]) -> Answer:
        try:
            response = await self._http.request(**call.request(), content=parts_async(call.content))
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        return call.answer(response)

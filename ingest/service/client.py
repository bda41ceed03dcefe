"""Clients of the ingest service, for programs that wait and for those that do something else meanwhile.

>>> with Ingest.of_home(home) as ingest:
...     ingest.submit("night-1", LoadRequest(schema_file="/data/sky.yaml", files={"object": ["/data/object"]}))
...     load = ingest.finished("night-1")

`AsyncIngest` has the same methods, to be awaited.
"""

import getpass
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from ingest.service.models import MAX_WAIT_S, DatabaseStatus, FileInfo, LoadInfo, LoadRequest
from qserv.api.errors import error_of
from qserv.api.messages import ErrorDocument
from qserv.cluster import Cluster, Secrets
from qserv.errors import IngestLostError, QservError

CONNECT_TIMEOUT_S = 5.0
"""A service that runs takes a connection at once."""

ANSWER_TIMEOUT_S = MAX_WAIT_S + 30.0
"""A service that is asked to wait answers within `MAX_WAIT_S`."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Call(Generic[Answer]):
    """A request, and what its answer is."""

    method: str
    path: str
    read: Callable[[bytes], Answer]
    body: LoadRequest | None = None
    parameters: tuple[tuple[str, str], ...] = ()

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


def _nothing(_content: bytes) -> None:
    return None


def _submit(name: str, request: LoadRequest) -> _Call[LoadInfo]:
    return _Call("PUT", f"/loads/{quote(name, safe='')}", _LOAD, request)


def _load(name: str, wait_s: float) -> _Call[LoadInfo]:
    return _Call("GET", f"/loads/{quote(name, safe='')}", _LOAD, parameters=(("wait_s", str(wait_s)),))


def _loads(limit: int) -> _Call[list[LoadInfo]]:
    return _Call("GET", "/loads", _LOADS, parameters=(("limit", str(limit)),))


def _files(name: str) -> _Call[list[FileInfo]]:
    return _Call("GET", f"/loads/{quote(name, safe='')}/files", _FILES)


def _rejects(name: str) -> _Call[bytes]:
    return _Call("GET", f"/loads/{quote(name, safe='')}/rejects", bytes)


def _cancel(name: str) -> _Call[LoadInfo]:
    return _Call("POST", f"/loads/{quote(name, safe='')}/cancel", _LOAD)


def _drop(database: str, table: str | None) -> _Call[None]:
    path = f"/databases/{quote(database, safe='')}"
    return _Call("DELETE", path if table is None else f"{path}/tables/{quote(table, safe='')}", _nothing)


class _Client:
    """What both clients know."""

    def __init__(self, url: str, token: str, user: str) -> None:
        self._url = url
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
        return self._asked(_submit(name, request))

    def load(self, name: str, wait_s: float = 0.0) -> LoadInfo:
        """Return a load: as soon as it has ended, or as it is after so many seconds (60 at the most)."""
        return self._asked(_load(name, wait_s))

    def finished(self, name: str, timeout_s: float | None = None) -> LoadInfo:
        """Return a load that has ended.

        Raises
        ------
        TimeoutError
            It has not, after so many seconds.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = MAX_WAIT_S if until_s is None else until_s - time.monotonic()
            load = self.load(name, min(max(left_s, 0.0), MAX_WAIT_S))
            if load.ended is not None:
                return load
            if left_s <= 0:
                msg = f"load {name} has not ended within {timeout_s} s; it goes on"
                raise TimeoutError(msg)

    def loads(self, limit: int = 100) -> list[LoadInfo]:
        """Return loads, the newest first."""
        return self._asked(_loads(limit))

    def files(self, name: str) -> list[FileInfo]:
        """Return the files from which a load took rows."""
        return self._asked(_files(name))

    def rejects(self, name: str) -> bytes:
        """Return the rows that a load set aside, a JSON object a line."""
        return self._asked(_rejects(name))

    def cancel(self, name: str) -> LoadInfo:
        """Stop a load; nothing of it will be visible."""
        return self._asked(_cancel(name))

    def databases(self) -> list[DatabaseStatus]:
        """Return the databases with their tables, published or not."""
        return self._asked(_Call("GET", "/databases", _DATABASES))

    def database(self, name: str) -> DatabaseStatus:
        """Return a database with its tables."""
        return self._asked(_Call("GET", f"/databases/{quote(name, safe='')}", _DATABASE))

    def drop(self, database: str, table: str | None = None) -> None:
        """Delete a table, or all tables of a database, from all nodes."""
        self._asked(_drop(database, table))

    def _asked(self, call: _Call[Answer]) -> Answer:
        try:
            response = self._http.request(**call.request())
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
        return await self._asked(_submit(name, request))

    async def load(self, name: str, wait_s: float = 0.0) -> LoadInfo:
        """See `Ingest.load`."""
        return await self._asked(_load(name, wait_s))

    async def finished(self, name: str) -> LoadInfo:
        """Return a load that has ended."""
        while (load := await self.load(name, MAX_WAIT_S)).ended is None:
            pass
        return load

    async def loads(self, limit: int = 100) -> list[LoadInfo]:
        """See `Ingest.loads`."""
        return await self._asked(_loads(limit))

    async def files(self, name: str) -> list[FileInfo]:
        """See `Ingest.files`."""
        return await self._asked(_files(name))

    async def rejects(self, name: str) -> bytes:
        """See `Ingest.rejects`."""
        return await self._asked(_rejects(name))

    async def cancel(self, name: str) -> LoadInfo:
        """See `Ingest.cancel`."""
        return await self._asked(_cancel(name))

    async def databases(self) -> list[DatabaseStatus]:
        """See `Ingest.databases`."""
        return await self._asked(_Call("GET", "/databases", _DATABASES))

    async def database(self, name: str) -> DatabaseStatus:
        """See `Ingest.database`."""
        return await self._asked(_Call("GET", f"/databases/{quote(name, safe='')}", _DATABASE))

    async def drop(self, database: str, table: str | None = None) -> None:
        """See `Ingest.drop`."""
        await self._asked(_drop(database, table))

    async def _asked(self, call: _Call[Answer]) -> Answer:
        try:
            response = await self._http.request(**call.request())
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        return call.answer(response)

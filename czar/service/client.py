"""A client of the czar's API.

>>> with Czar.of_home(home, user="me") as czar:
...     table = czar.query("SELECT hip FROM stars.hipparcos LIMIT 5").read_all()
...     job = czar.wait(czar.submit("SELECT * FROM stars.hipparcos").job_id)
"""

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import pyarrow as pa
import urllib3
from pydantic import BaseModel, ValidationError

from czar.service.models import (
    MAX_WAIT_S,
    ExplainRequest,
    JobInfo,
    JobRequest,
    Plan,
    QueryInfo,
    QueryRequest,
    TableDeclaration,
    TableInfo,
)
from qserv.api.errors import error_of
from qserv.api.messages import ANONYMOUS, ErrorDocument
from qserv.cluster import Cluster, Secrets
from qserv.errors import CzarLostError, NoSuchJobError, QservError
from qserv.metadata.jobs import JobState

CONNECT_TIMEOUT_S = 5.0
"""A czar that runs takes a connection at once."""

LOG_WAIT_S, LOG_LOOK_S = 10.0, 0.1
"""How long a czar is asked why an answer was broken off, and how often: a query whose connection was cut ends a moment later."""

KEPT_CONNECTIONS = 16
"""Idle connections that are kept for threads that share a client; more are made when needed."""

PIECE_BYTES = 2**20
"""Bytes that are taken from the network at a time."""

Parameters = Sequence[tuple[str, str]]


class Rows(Iterator[pa.RecordBatch]):
    """The answer of a query: a schema, and batches as they come. Fields say unit, UCD and description in their metadata."""

    def __init__(self, query_id: UUID, body: io.BufferedReader) -> None:
        self.query_id, self._body = query_id, body
        self._reader = pa.ipc.open_stream(body)
        self.schema: pa.Schema = self._reader.schema

    def __next__(self) -> pa.RecordBatch:
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            self._body.read()  # the end of the body, so that its connection can be used again
            raise

    def read_all(self) -> pa.Table:
        """Return all rows that are left."""
        return pa.Table.from_batches(self, self.schema)


class Czar:
    """A czar that is asked over HTTP. Every method raises the `QservError` that the czar told of.

    Parameters
    ----------
    url, token
        As `Cluster.czar_url` and `Secrets.cluster` have them.
    user
        Owner of the jobs, and the user in the query log.
    """

    def __init__(self, url: str, token: str, user: str = ANONYMOUS) -> None:
        # urllib3, because a look-up takes 1.4 ms of the client's processor time with it and 1.8 ms with httpx.
        self._http = urllib3.connection_from_url(
            url,
            headers={"Authorization": f"Bearer {token}", "Qserv-User": user},
            # Queries end by their own time limit; until then a client waits.
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=None),
            retries=False,
            maxsize=KEPT_CONNECTIONS,
        )
        self._url = url

    @classmethod
    def of_home(cls, home: Path, user: str = ANONYMOUS) -> Self:
        """Return a client of the cluster that runs in a home.

        Raises
        ------
        ClusterNotRunningError
            None does.
        """
        return cls(Cluster.load(home).czar_url, Secrets.load(home).cluster.get_secret_value(), user)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def answer(
        self, query: str, *, dialect: str = "native", max_rows: int | None = None, query_id: UUID | None = None
    ) -> Iterator[Rows]:
        """Ask a query and give its answer as it comes. Leaving the block early cancels the query.

        Parameters
        ----------
        query_id
            A new one, by which other threads may ask for the query meanwhile.
        """
        query_id = query_id or uuid4()
        request = QueryRequest(query=query, dialect=dialect, max_rows=max_rows, query_id=query_id)
        with self._streamed("POST", "/query", request, (), query_id) as rows:
            yield rows

    def query(self, query: str, *, dialect: str = "native", max_rows: int | None = None) -> pa.Table:
        """Ask a query and return its whole answer."""
        with self.answer(query, dialect=dialect, max_rows=max_rows) as rows:
            return rows.read_all()

    def explain(self, query: str, *, dialect: str = "native", analyze: bool = False) -> Plan:
        """Tell how a query would be answered; with ``analyze`` it is run, and what each part of it took is told, too."""
        request = ExplainRequest(query=query, dialect=dialect, analyze=analyze)
        return Plan.model_validate(self._asked("POST", "/explain", request))

    def tables(self) -> list[TableInfo]:
        """Return the published tables."""
        return [TableInfo.model_validate(one) for one in self._asked("GET", "/tables")]

    def declaration(self, database: str, table: str) -> TableDeclaration:
        """Return all that was declared of a published table."""
        return TableDeclaration.model_validate(self._asked("GET", f"/tables/{quote(database, safe='')}/{quote(table, safe='')}"))

    def queries(self) -> list[QueryInfo]:
        """Return what runs now on all czars, the oldest first."""
        return [QueryInfo.model_validate(one) for one in self._asked("GET", "/queries")]

    def query_info(self, query_id: UUID) -> QueryInfo:
        """Tell how far a query is, or how it ended."""
        return QueryInfo.model_validate(self._asked("GET", f"/queries/{query_id}"))

    def cancel_query(self, query_id: UUID) -> None:
        """Stop a query on the nodes."""
        self._asked("POST", f"/queries/{query_id}/cancel")

    def submit(self, query: str, *, dialect: str = "native", max_rows: int | None = None) -> JobInfo:
        """Queue a query that runs on its own."""
        request = JobRequest(query=query, dialect=dialect, max_rows=max_rows)
        return JobInfo.model_validate(self._asked("POST", "/jobs", request))

    def job(self, job_id: UUID) -> JobInfo:
        """Return the state of a job."""
        return JobInfo.model_validate(self._asked("GET", f"/jobs/{job_id}"))

    def jobs(self, owner: str | None = None, states: Sequence[JobState] = (), limit: int = 100) -> list[JobInfo]:
        """Return jobs, the newest first."""
        parameters = [("limit", str(limit)), *(("state", state.value) for state in states)]
        parameters += [] if owner is None else [("owner", owner)]
        return [JobInfo.model_validate(one) for one in self._asked("GET", "/jobs", parameters=parameters)]

    def wait(self, job_id: UUID, timeout_s: float = MAX_WAIT_S) -> JobInfo:
        """Return a job once it has ended, or as it is after so many seconds (60 at the most)."""
        return JobInfo.model_validate(self._asked("GET", f"/jobs/{job_id}", parameters=[("wait_s", str(timeout_s))]))

    @contextmanager
    def result(self, job_id: UUID) -> Iterator[Rows]:
        """Give the result of a completed job."""
        with self._streamed("GET", f"/jobs/{job_id}/result", None, [("format", "arrow")], job_id) as rows:
            yield rows

    def cancel_job(self, job_id: UUID) -> JobInfo:
        """Stop a job."""
        return JobInfo.model_validate(self._asked("POST", f"/jobs/{job_id}/cancel"))

    def delete_job(self, job_id: UUID) -> None:
        """Stop a job and delete it with its result."""
        self._asked("DELETE", f"/jobs/{job_id}")

    def _asked(self, method: str, path: str, body: BaseModel | None = None, parameters: Parameters = ()) -> Any:  # noqa: ANN401 (JSON; its caller validates it)
        with self._reaching(), self._request(method, path, body, parameters) as answer:
            _check(answer)
            return answer.json() if answer.data else None

    def _request(self, method: str, path: str, body: BaseModel | None, parameters: Parameters) -> urllib3.BaseHTTPResponse:
        """Return the begin of an answer; leaving it unread closes its connection."""
        address = f"{path}?{urlencode(parameters)}" if parameters else path
        json = None if body is None else body.model_dump(mode="json")
        return self._http.request(method, address, json=json, preload_content=False, redirect=False)

    @contextmanager
    def _streamed(self, method: str, path: str, body: BaseModel | None, parameters: Parameters, query_id: UUID) -> Iterator[Rows]:
        with self._reaching(), self._request(method, path, body, parameters) as answer:
            _check(answer)
            try:
                yield Rows(query_id, io.BufferedReader(_Body(answer), PIECE_BYTES))
            except urllib3.exceptions.ProtocolError as error:
                raise self._why_broken_off(query_id) from error

    def _why_broken_off(self, query_id: UUID) -> QservError:
        """Return the error of a query whose answer was broken off."""
        deadline_s = time.monotonic() + LOG_WAIT_S
        with contextlib.suppress(NoSuchJobError):
            while (info := self.query_info(query_id)).ended is None and time.monotonic() < deadline_s:
                time.sleep(LOG_LOOK_S)
            if info.error is not None:
                return error_of(info.error)
        return CzarLostError("the answer was broken off in the middle; ask again")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            msg = f"the czar at {self._url} does not answer: {error or type(error).__name__}; is the cluster up (`qserv status`)?"
            raise CzarLostError(msg) from error


class _Body(io.RawIOBase):
    """The body of an answer as a file."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (any writable buffer)
        piece = self._answer.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _check(answer: urllib3.BaseHTTPResponse) -> None:
    """Raise the error that an answer tells of, if it does."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    try:
        raise error_of(ErrorDocument.model_validate_json(answer.data).error)
    except ValidationError as error:
        msg = f"{answer.url} answered {answer.status}, which is no answer of a czar"
        raise QservError(msg) from error

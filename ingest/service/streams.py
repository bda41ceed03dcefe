"""The Arrow Flight server of the ingest service: each `DoPut` is a contribution, of which the rows are uploaded as they come."""

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import structlog
from pyarrow import flight
from pydantic import ValidationError

from ingest.formats.source import ReadOptions, explained
from ingest.service.contributions import Contributions
from ingest.service.models import ContributionInfo, StreamRequest
from ingest.service.receiving import Upload
from ingest.service.sent_rows import stream_pieces
from ingest.service.stream_errors import to_flight
from qserv.errors import AccessError, BadFileError, PortInUseError, QservError, QueryValueError
from workers.authorization import Authorization
from workers.protocol import Beat
from workers.row_streams import complete_rows

STREAMS_AT_A_TIME: Final = 16
"""Streams that are written at a time, with some batches of each in memory; who sends others waits."""

MOST_BATCH_BYTES: Final = 64 << 20
"""Of a batch, in Arrow's memory: each stream has up to four of them there, as batches and as what is written of them."""

LOOK_S: Final = 0.1
"""How often connections are broken while the service ends."""

log = structlog.get_logger("ingest.streams")


@dataclass(frozen=True)
class Endpoint:
    """Where rows are taken, and what those who send them must know."""

    host: str
    port: int
    secret: str


@dataclass(eq=False)
class _Call:
    """A stream that somebody sends."""

    peer: str


class StreamServer(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    """Takes streams of rows, from when it is made until `close`, in the event loop that runs then.

    Parameters
    ----------
    contributions
        Where they go.
    tell
        Is called with the name of a transaction into which something was sent.
    leave_s
        Who sends nothing more, so that there is nobody to hear of an error, is hung up on after so many seconds.

    Raises
    ------
    PortInUseError
        It cannot listen there.
    """

    def __init__(self, endpoint: Endpoint, contributions: Contributions, tell: Callable[[str], None], leave_s: float) -> None:
        self._contributions, self._tell, self._leave_s = contributions, tell, leave_s
        self._loop, self._slots = asyncio.get_running_loop(), asyncio.Semaphore(STREAMS_AT_A_TIME)
        self._lock = threading.Lock()
        """Guards `_calls`."""
        self._calls: set[_Call] = set()
        location = f"grpc://{f'[{endpoint.host}]' if ':' in endpoint.host else endpoint.host}:{endpoint.port}"
        try:
            super().__init__(location, middleware={"authorization": Authorization(endpoint.secret, _refusal)})
        except pa.ArrowException as error:
            msg = f"the ingest service cannot listen on {location}; set QSERV_INGEST_FLIGHT_PORT to another port"
            raise PortInUseError(msg) from error

    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """Take the rows of a `StreamRequest`; answer with a `ContributionInfo`, as for an upload."""
        call = _Call(context.peer())
        with self._lock:
            self._calls.add(call)
        try:
            with _flight_errors():
                taken = self._take(call, _request(descriptor), reader)
                writer.write(pa.py_buffer(taken.model_dump_json().encode()))
        finally:
            with self._lock:
                self._calls.remove(call)

    def do_action(self, _context: flight.ServerCallContext, action: flight.Action) -> list[bytes]:
        """Give a sign of life."""
        with _flight_errors():
            if action.type != Beat.kind:
                msg = f"unknown action {action.type!r}; rows are sent by DoPut, as docs/ingest-api.md says"
                raise QueryValueError(msg)
            return [Beat().encode()]

    async def close(self) -> None:
        """Break off what is sent, and take no more."""
        ending = asyncio.ensure_future(asyncio.to_thread(self.shutdown))
        while not ending.done():
            with self._lock:
                calls = list(self._calls)
            for call in calls:
                self._hang_up(call)
            await asyncio.wait({ending}, timeout=LOOK_S)

    def _take(self, call: _Call, request: StreamRequest, reader: flight.MetadataRecordBatchReader) -> ContributionInfo:
        """Hand rows to the event loop as they come, in the form of a file; return what that is now."""
        rows = 0

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            for batch in _batches(request, reader):
                rows += batch.num_rows
                yield batch

        upload = Upload(request.table, "rows", ReadOptions(ignore_units=request.ignore_units), reader.schema, lambda: rows)
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        wanted: Future[None] = Future()
        taking = asyncio.run_coroutine_threadsafe(self._upload(request, upload, _content(pieces, wanted)), self._loop)
        taking.add_done_callback(
            lambda _: self._loop.call_soon_threadsafe(self._loop.call_later, self._leave_s, self._hang_up, call)
        )
        try:
            _first(wanted, taking)  # what is refused at once is not read
            for piece in itertools.chain(stream_pieces(reader.schema, batches()), (None,)):
                _first(asyncio.run_coroutine_threadsafe(pieces.put(piece), self._loop), taking)
        except BaseException:
            if not taking.cancel():
                taking.result()  # it ended before, and says why
            raise
        return taking.result()

    async def _upload(self, request: StreamRequest, upload: Upload, content: AsyncIterable[bytes]) -> ContributionInfo:
        async with self._slots:
            found = await self._contributions.upload(request.transaction, request.contribution, upload, content)
        self._tell(request.transaction)
        return found

    def _hang_up(self, call: _Call) -> None:
        """Break the connection of a stream that is there still: nothing else ends the wait for what its sender does not send."""
        host, _, port = unquote(call.peer).partition(":")[2].rpartition(":")
        with self._lock:
            if call in self._calls:
                for link in Path("/proc/self/fd").iterdir():
                    _shut(int(link.name), (host.strip("[]"), int(port)))


def _shut(descriptor: int, peer: tuple[str, int]) -> None:
    """Break a connection if it is that to a peer."""
    with contextlib.suppress(OSError):  # it is closed by now, or no connection
        connection = socket.socket(fileno=descriptor)
        try:
            if connection.family in {socket.AF_INET, socket.AF_INET6}:
                host, port = connection.getpeername()[:2]
                if (host.removeprefix("::ffff:"), port) == peer:  # IPv4 as IPv6 sees it
                    connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()  # it is not ours


async def _content(pieces: "asyncio.Queue[bytes | None]", wanted: "Future[None]") -> AsyncIterator[bytes]:
    wanted.set_result(None)
    while (piece := await pieces.get()) is not None:
        yield piece


def _first(step: "Future[None]", taking: "Future[ContributionInfo]") -> None:
    """Wait for a step; if what it is a step of ends before, raise why."""
    both: tuple[Future[Any], ...] = step, taking  # of different types
    wait(both, return_when=FIRST_COMPLETED)
    if not step.done():
        step.cancel()
        taking.result()


def _batches(request: StreamRequest, reader: flight.MetadataRecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a stream.

    Raises
    ------
    BadFileError
        A batch is too large, or no batch.
    IngestError
        The stream broke off.
    """
    what = f"contribution {request.contribution}"
    next_step = f'nothing of {what} is kept, send it again with {{"rows": ...}} as metadata behind the last row'
    with explained(Path(what)):
        for batch in complete_rows(reader, next_step):
            if batch.nbytes > MOST_BATCH_BYTES:
                mib = MOST_BATCH_BYTES >> 20
                msg = f"{what}: a batch of {batch.num_rows} rows has more than {mib} MiB; send smaller ones"
                raise BadFileError(msg)
            yield batch


def _request(descriptor: flight.FlightDescriptor) -> StreamRequest:
    try:
        return StreamRequest.model_validate_json(descriptor.command or b"")
    except ValidationError as error:
        told = ", ".join(f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in error.errors())
        msg = f"the command of the descriptor is wrong: {told}; it is JSON, as docs/ingest-api.md says"
        raise QueryValueError(msg) from error


def _refusal() -> flight.FlightError:
    msg = "the token is missing or wrong; send the cluster's token in the header `authorization: Bearer <token>`"
    return to_flight(AccessError(msg))


@contextlib.contextmanager
def _flight_errors() -> Iterator[None]:
    """Turn errors into those of Flight."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, QservError):  # a mistake of ours
            log.exception("stream failed")
        raise to_flight(error) from error

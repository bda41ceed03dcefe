"""The worker's Arrow Flight server: calls of ``workers.protocol`` become work of ``execute`` and ``loading``, errors Failures."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import structlog
from pyarrow import flight

from qserv.errors import PortInUseError, QservError, QueryCancelledError
from workers import protocol, table_actions
from workers.authorization import Authorization
from workers.execute import Answer, Executor
from workers.failures import to_flight
from workers.loading import Loader
from workers.row_streams import complete_rows
from workers.turns import Place, Turns

WATCH_INTERVAL_S: Final = 0.1
"""How often calls are looked at whose reader may have gone, or that take too long for their lane. An abandoned query keeps
PostgreSQL busy at most this long; looking costs microseconds."""

_log = structlog.get_logger("workers")


@dataclass(frozen=True)
class Endpoint:
    """Where a worker listens. Port 0 takes a free one; the server's ``port`` tells which."""

    node: str
    host: str
    port: int
    secret: str = field(repr=False)
    """The cluster secret, which every call must carry."""


class Completion(flight.ServerMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    """Runs the clean-up of a call when it is over, whether its stream was read to the end, broke off or was never begun."""

    name: Final = "completion"

    def __init__(self) -> None:
        self.clean_up: Callable[[], None] | None = None

    def call_completed(self, _exception: Exception | None) -> None:
        """Flight calls this once a call, on every path."""
        if self.clean_up is not None:
            self.clean_up()


class _RunningCall:
    """What a call needs beside its place: whether somebody still listens, and what to clean up."""

    def __init__(self, place: Place, context: flight.ServerCallContext) -> None:
        self.place = place
        self.context = context
        self.answer: Answer | None = None


class WorkerServer(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    """Serves one node.

    Parameters
    ----------
    executor, loader
        Do the work.
    turns
        Decide what runs and what waits.
    endpoint
        Where it listens, and for whom.

    Raises
    ------
    PortInUseError
        It cannot listen there.
    """

    def __init__(self, executor: Executor, loader: Loader, turns: Turns, endpoint: Endpoint) -> None:
        location = f"grpc://{endpoint.host}:{endpoint.port}"
        try:
            super().__init__(location, middleware={Completion.name: Authorization(endpoint.secret, _refusal, Completion)})
        except pa.ArrowException as error:
            msg = f"the worker of {endpoint.node} cannot listen on {endpoint.host}:{endpoint.port}; is another one running there?"
            raise PortInUseError(msg) from error
        self._executor = executor
        self._loader = loader
        self._turns = turns
        self._node = endpoint.node
        self._lock = threading.Lock()
        """Guards `_calls`."""
        self._calls: set[_RunningCall] = set()
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="reader-watch", daemon=True)
        self._watcher.start()

    # -- Flight calls -------------------------------------------------------------------------------------------------------------

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.GeneratorStream:
        """Answer a `ChunkQuery`."""
        with _FlightErrors("query"):
            query = protocol.ChunkQuery.decode(ticket.ticket)
            running = self._enter(query, context)
            context.get_middleware(Completion.name).clean_up = lambda: self._leave(running)
            running.answer = self._executor.query(query, running.place)
            return flight.GeneratorStream(running.answer.schema, self._stream(running.answer))

    def do_put(
        self,
        _context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """Take a `ChunkLoad` or a `RunLoad`."""
        with _FlightErrors("load"):
            load = protocol.decode_load(descriptor.command)
            batches = complete_rows(reader)
            if isinstance(load, protocol.RunLoad):
                rows = self._loader.take(load, reader.schema, batches)
            else:
                rows = self._loader.load(load, reader.schema, batches)
            writer.write(pa.py_buffer(protocol.LoadReceipt(rows).encode()))

    def do_action(self, _context: flight.ServerCallContext, action: flight.Action) -> Iterable[bytes]:
        """Answer one of the `Action` classes."""
        with _FlightErrors(action.type):
            body = action.body.to_pybytes()
            if action.type == table_actions.BuildTable.kind:
                return _each(action.type, self._loader.build(table_actions.BuildTable.decode(body)))
            if action.type == table_actions.IndexTable.kind:
                return _each(action.type, self._loader.index(table_actions.IndexTable.decode(body)))
            if action.type == table_actions.AlterTable.kind:
                return _each(action.type, self._loader.alter(table_actions.AlterTable.decode(body)))
            if action.type == table_actions.MergeSegments.kind:
                return [self._loader.merge(table_actions.MergeSegments.decode(body)).encode()]
            if action.type == table_actions.EndVersions.kind:
                return [self._loader.end_versions(table_actions.EndVersions.decode(body)).encode()]
            answer = self._act(action.type, body)
            return [json.dumps(answer).encode()]

    def _act(self, kind: str, body: bytes) -> dict[str, Any]:
        match kind:
            case protocol.Beat.kind:
                return {}
            case protocol.Health.kind:
                return {"node": self._node, "postgres": self._loader.postgres_version(), **self._turns.state()}
            case protocol.Cancel.kind:
                return {"cancelled": self._turns.cancel(protocol.Cancel.decode(body).query_id)}
            case _:
                return self._change(kind, body)

    def _change(self, kind: str, body: bytes) -> dict[str, Any]:
        """Change tables, or what waits to become some."""
        match kind:
            case table_actions.PrepareTable.kind:
                self._loader.prepare(table_actions.PrepareTable.decode(body))
                return {}
            case table_actions.DropRuns.kind:
                self._loader.drop_runs(table_actions.DropRuns.decode(body))
                return {}
            case table_actions.MoveTable.kind:
                return {"moved": self._loader.move(table_actions.MoveTable.decode(body))}
            case table_actions.DropSegment.kind:
                return {"dropped": self._loader.drop_segment(table_actions.DropSegment.decode(body))}
            case table_actions.DropTable.kind:
                return {"dropped": self._loader.drop(table_actions.DropTable.decode(body))}
            case _:
                msg = f"unknown action {kind!r}"
                raise ValueError(msg)

    def close(self) -> None:
        """Stop all queries, refuse further calls and return when the last one is over."""
        self._closing.set()
        with self._lock:
            stops = [running.place.stop for running in self._calls]
        for stop in stops:
            stop.request(QueryCancelledError("the worker is shutting down"))
        self.shutdown()
        self._watcher.join()
        self._executor.close()
        self._loader.close()

    # -- life of a query ----------------------------------------------------------------------------------------------------------

    def _enter(self, query: protocol.ChunkQuery, context: flight.ServerCallContext) -> _RunningCall:
        chunks = [task.chunk for task in query.tasks]
        place = self._turns.enter(query.query_id, query.lane, chunks, time.monotonic() + query.timeout_s)
        running = _RunningCall(place, context)
        with self._lock:
            self._calls.add(running)
        return running

    def _stream(self, answer: Answer) -> Iterator[tuple[pa.RecordBatch, pa.Buffer]]:
        with _FlightErrors("query"):
            for batch, mark in answer.batches():
                yield batch, pa.py_buffer(mark.encode())

    def _leave(self, running: _RunningCall) -> None:
        """End a call. From here on its context must not be touched: Flight frees it."""
        with self._lock:
            self._calls.discard(running)
        if running.answer is not None:
            running.answer.close()
        running.place.leave()

    def _watch(self) -> None:
        """Stop queries whose reader went away, repeat cancels that may have come between two statements, demote the slow."""
        while not self._closing.wait(WATCH_INTERVAL_S):
            with self._lock:
                # A context is good only while its call is registered; a stop may be asked at any time.
                gone = [running.place.stop for running in self._calls if running.context.is_cancelled()]
                stops = [running.place.stop for running in self._calls]
            for stop in gone:
                stop.request(QueryCancelledError("the reader of the query went away"))
            for stop in stops:
                stop.insist()
            self._turns.look()


def _refusal() -> flight.FlightError:
    return flight.FlightUnauthenticatedError("the call does not carry the cluster secret")


def _each(kind: str, messages: Iterator[protocol.Message]) -> Iterator[bytes]:
    """Yield what an action tells of while it goes on."""
    with _FlightErrors(kind):
        for message in messages:
            yield message.encode()


class _FlightErrors:
    """Turns errors into Flight errors that carry a `Failure`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return

    def __exit__(self, _type: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, (flight.FlightError, GeneratorExit)):
            return
        if isinstance(error, QservError):
            raise to_flight(error) from error
        if isinstance(error, ValueError):
            msg = f"the worker cannot understand the call: {error}"
            raise to_flight(QservError(msg)) from error
        _log.error("call failed", kind=self._kind, exc_info=error)
        msg = f"the worker failed: {type(error).__name__}: {error}"
        raise to_flight(QservError(msg)) from error

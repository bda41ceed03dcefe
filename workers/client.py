"""Calls to a worker, typed: messages of ``workers.protocol`` in, Arrow and errors of ``qserv.errors`` out."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
from pyarrow import flight

from qserv.errors import NodeUnavailableError, QservError
from workers.failures import from_flight
from workers.heartbeat import Heartbeat
from workers.protocol import AUTHORIZATION, Action, BatchMark, Beat, Cancel, ChunkLoad, ChunkQuery, Health, LoadReceipt, RunLoad
from workers.row_streams import RowSender
from workers.table_actions import (
    AlterTable,
    BuildTable,
    BuiltChunk,
    DropRuns,
    DropSegment,
    DropTable,
    EndVersions,
    IndexTable,
    MergeSegments,
    MoveTable,
    PrepareTable,
    TablesDone,
)

QUERY_GRACE_S: Final = 15.0
"""How much longer than its query's limit a call may take: the worker's own time-out comes first, and says more."""

PROBE_TIMEOUT_S: Final = 10.0
"""Limit of calls that a healthy worker answers in milliseconds."""


SILENCE_S: Final = 20.0
"""Default of the setting ``worker_silence_s``: a worker on a machine with too much to do answers within seconds."""

RECONNECTING: Final = [
    # A worker that was restarted is found again within half a second; gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
]
"""Settings of a gRPC channel whose server comes and goes."""


def channel_options(silence_s: float) -> list[tuple[str, int]]:
    """Return settings of a gRPC channel: after so many seconds without a byte from the server, all calls of it fail.

    Half of the time passes before the server is asked for a byte, the other half is for its answer. A frozen process takes bytes
    as before (its kernel does), so that nothing below gRPC would notice. `Heartbeat` says why a living server is not bothered.
    """
    half_ms = int(silence_s * 500)
    pings = (("grpc.keepalive_time_ms", half_ms), ("grpc.keepalive_timeout_ms", half_ms), ("grpc.http2.ping_timeout_ms", half_ms))
    return [*RECONNECTING, *pings, ("grpc.http2.max_pings_without_data", 0)]


class Answer:
    """Rows of a chunk query, as they arrive. Iterate once; close it to stop the query before its end."""

    def __init__(self, reader: flight.FlightStreamReader, worker: str, ended: Callable[[], None]) -> None:
        self._reader = reader
        self._worker = worker
        self._ended = False
        self._on_exit = ended
        try:
            self.schema: pa.Schema = reader.schema
            """Schema of the rows of every chunk."""
        except pa.ArrowException as error:
            raise from_flight(error, worker) from error

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, BatchMark]]:
        """Yield batches with their marks.

        Raises
        ------
        QservError
            The query failed, or the worker went away. Rows of chunks whose end mark has come are complete nevertheless.
        """
        try:
            while True:
                chunk = self._reader.read_chunk()
                yield chunk.data, BatchMark.decode(chunk.app_metadata.to_pybytes())
        except StopIteration:
            self._ended = True
        except pa.ArrowException as error:
            self._ended = True
            raise from_flight(error, self._worker) from error

    def close(self) -> None:
        """Stop the query, unless it has ended."""
        if not self._ended:
            self._ended = True
            self._reader.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()
        self._on_exit()


class WorkerClient:
    """One worker. Threads may share it; all calls go over one channel, which reconnects by itself.

    Parameters
    ----------
    host, port
        Where the worker listens.
    secret
        The cluster secret.
    silence_s
        Seconds without a sign of life after which the worker is taken for lost, and all calls of it end.
    """

    def __init__(self, host: str, port: int, secret: str, silence_s: float = SILENCE_S) -> None:
        self._worker = f"{host}:{port}"
        self._header = (AUTHORIZATION.encode(), f"Bearer {secret}".encode())
        self._client = flight.connect(f"grpc://{host}:{port}", generic_options=channel_options(silence_s))
        self._silence_s = silence_s
        # More often than gRPC pings: a worker that answers beats gets no pings at all.
        self._heartbeat = Heartbeat(self._beat, silence_s / 3)

    def query(self, query: ChunkQuery) -> Answer:
        """Run a chunk query.

        Returns
        -------
        Answer
            A context, to be left. Its schema is there already, its rows come while it is iterated.

        Raises
        ------
        NodeUnavailableError
            The worker or its PostgreSQL does not answer, or does not hold the tables.
        QueryEvaluationError, QueryLimitError, QueryCancelledError
            As their names say.
        """
        self._heartbeat.begin()
        try:
            return Answer(self._begun(query), self._worker, self._heartbeat.end)
        except BaseException:
            self._heartbeat.end()
            raise

    def load(self, load: ChunkLoad | RunLoad, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> LoadReceipt:
        """Load all rows of one physical table, or send a run. They are committed, or on the node's disk, when this returns.

        Errors of `batches` itself pass through; nothing is loaded then.

        Raises
        ------
        NodeUnavailableError
            The worker or its PostgreSQL does not answer. Load again: it replaces whatever became of this attempt.
        StorageFullError
            A disk of the node is full.
        IngestError
            The rows do not fit the declaration.
        """
        sender = RowSender(self._client, self._options(None), lambda error: from_flight(error, self._worker))
        with self._heartbeat.during():
            receipt = sender.send(load.encode(), schema, batches)
        if receipt is None:
            msg = f"worker {self._worker} did not confirm the load; load again"
            raise NodeUnavailableError(msg)
        return LoadReceipt.decode(receipt)

    def health(self, timeout_s: float = PROBE_TIMEOUT_S) -> dict[str, Any]:
        """Ask how the worker is; see `Health`."""
        return self._act(Health(), timeout_s)

    def cancel(self, query_id: str) -> int:
        """Stop all chunk queries of a query, those that have not arrived yet as well; return how many ran or waited."""
        return int(self._act(Cancel(query_id), PROBE_TIMEOUT_S)["cancelled"])

    def prepare(self, action: PrepareTable) -> None:
        """Make the schema of a database and the prototype of a table."""
        self._act(action, None)

    def build(self, action: BuildTable) -> Iterator[BuiltChunk]:
        """Make the tables of all chunks of a table out of its runs; yield each that is committed."""
        with self._heartbeat.during(), self._errors():
            for result in self._client.do_action(flight.Action(action.kind, action.encode()), self._options(None)):
                yield BuiltChunk.decode(result.body.to_pybytes())

    def index(self, action: IndexTable) -> Iterator[TablesDone]:
        """Make the indexes that a table should have, and drop the others; yield how far that is."""
        with self._heartbeat.during(), self._errors():
            for result in self._client.do_action(flight.Action(action.kind, action.encode()), self._options(None)):
                yield TablesDone.decode(result.body.to_pybytes())

    def alter(self, action: AlterTable) -> Iterator[TablesDone]:
        """Add a column, and drop those that are not declared; yield how far that is, also while queries hold the tables."""
        with self._heartbeat.during(), self._errors():
            for result in self._client.do_action(flight.Action(action.kind, action.encode()), self._options(None)):
                yield TablesDone.decode(result.body.to_pybytes())

    def drop_runs(self, action: DropRuns) -> None:
        """Delete the runs of a transaction, or those of one table of it."""
        self._act(action, None)

    def move(self, action: MoveTable) -> int:
        """Move all physical tables of a table to another database, in place of those of its name; return how many there were."""
        return int(self._act(action, None)["moved"])

    def drop(self, action: DropTable) -> int:
        """Drop all physical tables of a table; return how many there were."""
        return int(self._act(action, None)["dropped"])

    def merge(self, action: MergeSegments) -> BuiltChunk:
        """Make one segment of several."""
        return self._made(action)

    def end_versions(self, action: EndVersions) -> BuiltChunk:
        """Make a segment of the former versions of rows."""
        return self._made(action)

    def _made(self, action: Action) -> BuiltChunk:
        with self._heartbeat.during(), self._errors():
            (result,) = self._client.do_action(flight.Action(action.kind, action.encode()), self._options(None))
        return BuiltChunk.decode(result.body.to_pybytes())

    def drop_segment(self, action: DropSegment) -> int:
        """Drop the physical tables of a segment; return how many there were."""
        return int(self._act(action, None)["dropped"])

    def close(self) -> None:
        """Close the channel."""
        self._heartbeat.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def _act(self, action: Action, timeout_s: float | None) -> dict[str, Any]:
        with self._heartbeat.during(), self._errors():
            results = list(self._client.do_action(flight.Action(action.kind, action.encode()), self._options(timeout_s)))
        answer: dict[str, Any] = json.loads(results[0].body.to_pybytes())
        return answer

    def _begun(self, query: ChunkQuery) -> flight.FlightStreamReader:
        """Begin a query; once more where the connection broke: one that did while nobody used it is found out by the first call."""
        options = self._options(query.timeout_s + QUERY_GRACE_S)
        with self._errors():
            try:
                return self._client.do_get(flight.Ticket(query.encode()), options)
            except flight.FlightUnavailableError as error:
                if error.extra_info:  # the worker's own word
                    raise
            return self._client.do_get(flight.Ticket(query.encode()), options)

    def _beat(self) -> None:
        # Whether it is answered, gRPC learns from the bytes: those who wait for a lost worker hear of it there.
        with contextlib.suppress(QservError, pa.ArrowException), self._errors():
            list(self._client.do_action(flight.Action(Beat.kind, Beat().encode()), self._options(self._silence_s)))

    def _options(self, timeout_s: float | None) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=timeout_s, headers=[self._header])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowException as error:
            raise from_flight(error, self._worker) from error

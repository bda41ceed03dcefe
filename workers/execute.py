"""What a worker does with chunk data. The one door to where it is kept, PostgreSQL (package ``workers.postgresql``)."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from qserv.errors import IngestError, QueryCancelledError, QueryEvaluationError
from qserv.ids import ChunkId
from schema.serialise import table_from_json
from workers.postgresql import tables
from workers.postgresql.loads import Batches, Sessions, Target
from workers.postgresql.loads import load as load_rows
from workers.postgresql.reads import ChunkRows, Reads
from workers.protocol import BatchMark, ChunkLoad, ChunkQuery, ChunkTask, DropTable, MoveTable, PrepareTable
from workers.stop import Stop
from workers.template import fill

CHUNKS_IN_FLIGHT: Final = 2
"""Chunks of one call that PostgreSQL works on at a time: while the rows of one are sent, the next is computed."""

OVERLAP_FROM_S: Final = 0.001
"""Chunks are overlapped once one took this long to its first rows. Below it the change of thread costs more than it saves: 100
chunks of 0.2 ms take 48 ms overlapped, 25 ms one after another."""

MAX_LOADS: Final = 4
"""Loads, and other changes of tables, at a time: COPY is bound by the disk, and more of them only take memory."""


@dataclass(frozen=True)
class Limits:
    """How much a worker does at a time. ``max_running * chunks_in_flight + max_loads`` connections are the most it opens."""

    max_running: int = 16
    max_waiting: int = 512
    chunks_in_flight: int = CHUNKS_IN_FLIGHT
    max_loads: int = MAX_LOADS


class Executor:
    """Runs chunk queries and loads on the PostgreSQL beside this worker. All methods may be called from any thread.

    Parameters
    ----------
    reader_conninfo, loader_conninfo
        libpq URIs of the reading and of the loading role; they hold passwords.
    limits
        How much to do at a time.
    """

    def __init__(self, *, reader_conninfo: str, loader_conninfo: str, limits: Limits) -> None:
        self._in_flight = limits.chunks_in_flight
        # A call never needs more than its share, so a call that holds connections never waits for one that waits for it.
        connections = limits.max_running * limits.chunks_in_flight
        self._reads = Reads(reader_conninfo, connections)
        self._sessions = Sessions(loader_conninfo, limits.max_loads)
        self._threads = ThreadPoolExecutor(connections, "chunk-query")

    def query(self, query: ChunkQuery, deadline_s: float, stop: Stop) -> "Answer":
        """Run a chunk query on all its chunks.

        Parameters
        ----------
        query
            What to run.
        deadline_s
            When its time is over, on the clock of `time.monotonic`.
        stop
            Ends it early.

        Raises
        ------
        QservError
            The first chunk's query failed. Errors of later chunks come while the answer is read.
        """
        if not query.tasks:
            msg = f"query {query.query_id} names no chunk to run on"
            raise QueryEvaluationError(msg)

        def open_chunk(task: ChunkTask) -> ChunkRows:
            sql = fill(query.template, task.relations)
            return self._reads.open(sql, task.relations.values(), deadline_s, stop)

        return Answer(query.tasks, open_chunk, self._in_flight, self._threads, stop)

    def load(self, load: ChunkLoad, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Load all rows of one physical table; return their number once they are committed."""
        if load.part not in {"base", "overlap"}:
            msg = f"part {load.part!r} of a chunk is unknown; it is `base` or `overlap`"
            raise IngestError(msg)
        table = table_from_json(load.declaration)
        rows = Batches(table, schema, batches)
        with self._sessions.session(f"{load.database}.{table.name}") as session:
            chunk = None if load.chunk is None else ChunkId(load.chunk)
            return load_rows(session, Target(load.database, table, chunk, load.part == "overlap"), rows)

    def prepare(self, action: PrepareTable) -> None:
        """Make the schema of a database and the prototype of a table."""
        table = table_from_json(action.declaration)
        with self._sessions.session(f"{action.database}.{table.name}") as session:
            tables.prepare(session, action.database, table)

    def move(self, action: MoveTable) -> int:
        """Move all physical tables of a table to another database; return how many there were."""
        with self._sessions.session(f"{action.database}.{action.table}") as session:
            return tables.move(session, action.source, action.database, action.table)

    def drop(self, action: DropTable) -> int:
        """Drop all physical tables of a table; return how many there were."""
        with self._sessions.session(f"{action.database}.{action.table}") as session:
            return tables.drop(session, action.database, action.table)

    def postgres_version(self) -> str:
        """Ask PostgreSQL for its version.

        Raises
        ------
        NodeUnavailableError
            It does not answer.
        """
        with self._sessions.session("version") as session:
            row = session.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else "unknown"

    def close(self) -> None:
        """End all connections that are not in use."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reads.close()
        self._sessions.close()


class Answer:
    """The rows of a chunk query, chunk after chunk in the order of the tasks."""

    def __init__(
        self,
        tasks: Iterable[ChunkTask],
        open_chunk: Callable[[ChunkTask], ChunkRows],
        in_flight: int,
        threads: ThreadPoolExecutor,
        stop: Stop,
    ) -> None:
        self._tasks = deque(tasks)
        self._open_chunk = open_chunk
        self._in_flight = in_flight
        self._threads = threads
        self._stop = stop
        self._ahead: deque[tuple[ChunkTask, Future[ChunkRows]]] = deque()
        self._current: tuple[ChunkTask, ChunkRows] | None = None
        # The first chunk runs in this thread: most interactive queries have only one, and a change of thread costs them time.
        self._advance()
        self.schema = self._current[1].schema if self._current else pa.schema([])
        """Schema of the rows of every chunk."""

    def batches(self) -> Iterator[tuple[pa.RecordBatch, BatchMark]]:
        """Yield the rows with their marks. Every chunk ends with a marked batch, be it an empty one."""
        while self._current is not None:
            task, rows = self._current
            if not rows.schema.equals(self.schema):
                msg = f"chunk {task.chunk} answers with columns {rows.schema}, an earlier one with {self.schema}"
                raise QueryEvaluationError(msg)
            for batch, last in rows.batches():
                self._stop.check()
                yield batch, BatchMark(task.chunk, last)
            rows.close()
            self._advance()

    def close(self) -> None:
        """Stop what still runs and give all connections back."""
        self._tasks.clear()
        if self._ahead:
            self._stop.request(QueryCancelledError("the query was given up before its end"))
        while self._ahead:
            _, future = self._ahead.popleft()
            if not future.cancel():
                future.add_done_callback(_close_rows)
        if self._current is not None:
            self._current[1].close()
            self._current = None

    def _advance(self) -> None:
        """Go to the next chunk, if there is one, and begin the ones that may be in flight beside it."""
        self._current = None
        begun_s = time.monotonic()
        if self._ahead:
            task, future = self._ahead.popleft()
            self._look_ahead()
            self._current = (task, future.result())
        elif self._tasks:
            task = self._tasks.popleft()
            self._current = (task, self._open_chunk(task))
            if time.monotonic() - begun_s > OVERLAP_FROM_S:
                self._look_ahead()

    def _look_ahead(self) -> None:
        """Begin the chunks that may be in flight beside the current one."""
        while self._tasks and len(self._ahead) < self._in_flight - 1:
            task = self._tasks.popleft()
            self._ahead.append((task, self._threads.submit(self._open_chunk, task)))


def _close_rows(future: Future[ChunkRows]) -> None:
    if future.exception() is None:
        future.result().close()

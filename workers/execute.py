"""What a worker does with chunk data. The one door to where it is kept, PostgreSQL (package ``workers.postgresql``)."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from qserv.errors import IngestError, QueryEvaluationError
from qserv.ids import ChunkId
from schema.serialise import table_from_json
from workers.grouping import Grouping
from workers.postgresql import tables
from workers.postgresql.loads import Batches, Sessions, Target
from workers.postgresql.loads import load as load_rows
from workers.postgresql.reads import ChunkRows, Reads
from workers.protocol import BatchMark, ChunkLoad, ChunkQuery, ChunkTask, DropTable, MoveTable, PrepareTable
from workers.stop import Stop
from workers.template import statement

STATEMENTS_IN_FLIGHT: Final = 2
"""Statements of one call that PostgreSQL works on at a time: while the rows of one are sent, the next one is computed."""

MAX_LOADS: Final = 4
"""Loads, and other changes of tables, at a time: COPY is bound by the disk, and more of them only take memory."""


@dataclass(frozen=True)
class Limits:
    """How much a worker does at a time. ``max_running * in_flight + max_loads`` connections are the most it opens."""

    max_running: int = 16
    max_waiting: int = 512
    in_flight: int = STATEMENTS_IN_FLIGHT
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
        self._in_flight = limits.in_flight
        # A call never needs more than its share, so a call that holds connections never waits for one that waits for it.
        connections = limits.max_running * limits.in_flight
        self._reads = Reads(reader_conninfo, connections)
        self._sessions = Sessions(loader_conninfo, limits.max_loads)

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

        def ask(tasks: Sequence[ChunkTask]) -> ChunkRows:
            relations = [name for task in tasks for name in task.relations.values()]
            return self._reads.ask(statement(query.template, [task.relations for task in tasks]), relations, deadline_s, stop)

        return Answer(query.tasks, ask, Grouping(self._in_flight, query.small, len(query.template) + 1), stop)

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
        self._reads.close()
        self._sessions.close()


class Answer:
    """The rows of a chunk query, chunk after chunk in the order of the tasks.

    Parameters
    ----------
    tasks
        At least one.
    ask
        Begins a statement for some of them, and does not wait for it.
    grouping
        How many statements run at a time, and for how many tasks each is.
    stop
        Ends the query early.

    Raises
    ------
    QservError
        The first statement failed.
    """

    def __init__(
        self, tasks: Iterable[ChunkTask], ask: Callable[[Sequence[ChunkTask]], ChunkRows], grouping: Grouping, stop: Stop
    ) -> None:
        self._tasks = deque(tasks)
        self._ask = ask
        self._grouping = grouping
        self._stop = stop
        self._asked: deque[tuple[tuple[int, ...], ChunkRows]] = deque()
        """Chunks of the statements that run, and their answers."""
        self._since_s = time.monotonic()
        """When the last statement ended."""
        try:
            self.schema = self._current().schema
            """Schema of the rows of every chunk."""
        except BaseException:
            self.close()
            raise

    def batches(self) -> Iterator[tuple[pa.RecordBatch, BatchMark]]:
        """Yield the rows with their marks. Every chunk ends with a marked batch, be it an empty one."""
        while self._asked:
            chunks, rows = self._asked[0]
            if not rows.schema.equals(self.schema):
                msg = f"chunks {chunks} answer with columns {rows.schema}, earlier ones with {self.schema}"
                raise QueryEvaluationError(msg)
            size_bytes = 0
            for batch, last in rows.batches():
                self._stop.check()
                size_bytes += batch.nbytes
                yield batch, BatchMark(chunks, last)
            rows.close()
            self._asked.popleft()
            ended_s = time.monotonic()
            self._grouping.learn(len(chunks), ended_s - self._since_s, size_bytes)
            self._since_s = ended_s
            if self._tasks or self._asked:
                self._current()

    def close(self) -> None:
        """Stop what still runs and give all connections back."""
        self._tasks.clear()
        while self._asked:
            _, rows = self._asked.popleft()
            rows.close()

    def _current(self) -> ChunkRows:
        """Wait for the first rows of the next statement, while PostgreSQL works on those after it."""
        while self._tasks and len(self._asked) < self._grouping.in_flight:
            count = self._grouping.chunks(len(self._tasks), sum(len(chunks) for chunks, _ in self._asked))
            tasks = [self._tasks.popleft() for _ in range(count)]
            self._asked.append((tuple(task.chunk for task in tasks), self._ask(tasks)))
        _, rows = self._asked[0]
        rows.begin()
        return rows

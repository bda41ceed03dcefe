"""What a worker does with chunk data. The one door to where it is kept, PostgreSQL (package ``workers.postgresql``)."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from qserv.errors import IngestError, QueryEvaluationError
from qserv.ids import ChunkId
from schema.serialise import table_from_json
from workers.grouping import Grouping
from workers.postgresql import tables
from workers.postgresql.buffered import buffered
from workers.postgresql.loads import Batches, Sessions, Target
from workers.postgresql.loads import load as load_rows
from workers.postgresql.reads import SILENCE_S, ChunkRows, Reads
from workers.protocol import BatchMark, ChunkLoad, ChunkQuery, ChunkTask, DropTable, Lane, MoveTable, PrepareTable
from workers.questions import KEY_CHARACTERS, question
from workers.scheduler import Turn
from workers.turns import Place

MAX_LOADS: Final = 4
"""Loads, and other changes of tables, at a time: COPY is bound by the disk, and more of them only take memory."""


class Executor:
    """Runs chunk queries and loads on the PostgreSQL beside this worker. All methods may be called from any thread.

    Parameters
    ----------
    reader_conninfo, loader_conninfo
        libpq URIs of the reading and of the loading role; they hold passwords.
    connections
        Statements of chunk queries at a time; `MAX_LOADS` come on top.
    kept
        Idle connections that are kept for the statements of each lane; default: all.
    silence_s
        Seconds after which a silent PostgreSQL is asked whether it lives.
    """

    def __init__(
        self,
        *,
        reader_conninfo: str,
        loader_conninfo: str,
        connections: int,
        kept: Mapping[Lane, int] | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._reads = Reads(reader_conninfo, connections, kept, silence_s)
        self._sessions = Sessions(loader_conninfo, MAX_LOADS)

    def query(self, query: ChunkQuery, place: Place) -> "Answer":
        """Run a chunk query on all its chunks.

        Parameters
        ----------
        query
            What to run.
        place
            Its turns, its deadline, and what ends it early.

        Raises
        ------
        QservError
            The first chunk's query failed. Errors of later chunks come while the answer is read.
        """
        if not query.tasks:
            msg = f"query {query.query_id} names no chunk to run on"
            raise QueryEvaluationError(msg)

        def ask(turn: Turn) -> ChunkRows:
            tasks = [query.tasks[place] for place in turn.tasks]
            relations = [name for task in tasks for name in task.relations.values()]
            if not place.is_alone:  # others read the same chunks next
                tasks = [task._replace(relations={slot: buffered(name) for slot, name in task.relations.items()}) for task in tasks]
            return self._reads.ask(question(query.template, tasks), relations, place.deadline_s, place.stop, turn.lane)

        characters = len(query.template) + KEY_CHARACTERS * max(len(task.keys or ()) for task in query.tasks) + 1
        return Answer(query.tasks, ask, Grouping(place.in_flight, characters, query.first), place)

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
    """The rows of a chunk query, in the order in which its chunks had their turns.

    Parameters
    ----------
    tasks
        At least one.
    ask
        Begins the statement of a turn, and does not wait for it.
    grouping
        For how many tasks a statement is.
    place
        The call's; says which tasks may be begun.

    Raises
    ------
    QservError
        The first statement failed.
    """

    def __init__(self, tasks: Sequence[ChunkTask], ask: Callable[[Turn], ChunkRows], grouping: Grouping, place: Place) -> None:
        self._tasks = tasks
        self._ask = ask
        self._grouping = grouping
        self._place = place
        self._asked: deque[tuple[Turn, ChunkRows]] = deque()
        """Turns of the statements that run, and their answers."""
        self._since_s = time.monotonic()
        """When the last statement ended."""
        try:
            self._begin()
            self.schema = self._asked[0][1].schema
            """Schema of the rows of every chunk."""
        except BaseException:
            self.close()
            raise

    def batches(self) -> Iterator[tuple[pa.RecordBatch, BatchMark]]:
        """Yield the rows with their marks. Every chunk ends with a marked batch, be it an empty one."""
        while self._asked:
            turn, rows = self._asked[0]
            chunks = tuple(self._tasks[place].chunk for place in turn.tasks)
            if not rows.schema.equals(self.schema):
                msg = f"chunks {chunks} answer with columns {rows.schema}, earlier ones with {self.schema}"
                raise QueryEvaluationError(msg)
            size_bytes = 0
            for batch, last in rows.batches():
                self._place.stop.check()
                if self._place.left:  # else nobody asks for it
                    size_bytes += batch.get_total_buffer_size()  # of 66 columns, `nbytes` takes 0.2 ms
                yield batch, BatchMark(chunks, last)
            rows.close()
            self._asked.popleft()
            ended_s = time.monotonic()
            # What a statement before it took, and what this one waited for, is not its own.
            self._grouping.learn(len(chunks), ended_s - max(self._since_s, turn.began_s), size_bytes)
            self._since_s = ended_s
            self._begin(turn)

    def close(self) -> None:
        """Stop what still runs and give all connections back."""
        while self._asked:
            _, rows = self._asked.popleft()
            rows.close()

    def _begin(self, ended: Turn | None = None) -> None:
        """Ask what may be asked, and wait for the first rows of the oldest statement while PostgreSQL works on those after it."""
        if ended is not None and len(self._asked) >= self._grouping.statements:
            self._place.end(ended)
        while len(self._asked) < self._grouping.statements:
            asked = sum(len(turn.tasks) for turn, _ in self._asked)
            most = self._grouping.chunks(self._place.left, asked, alone=self._place.is_alone)
            turn = self._place.next(most, wait=not self._asked, ended=ended)
            ended = None
            if turn is None:
                break
            self._asked.append((turn, self._ask(turn)))
        if self._asked:
            self._asked[0][1].begin()

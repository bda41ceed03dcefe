"""How a worker reads chunk data: the door to PostgreSQL (package ``workers.postgresql``) for queries."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from qserv.errors import QueryEvaluationError
from workers.grouping import Grouping
from workers.postgresql.buffered import buffered, tables_of
from workers.postgresql.reads import SILENCE_S, ChunkRows, Reads, first_to_come
from workers.protocol import BatchMark, ChunkQuery, ChunkTask, Lane
from workers.questions import KEY_CHARACTERS, question
from workers.scheduler import Turn
from workers.turns import Place


class Executor:
    """Runs chunk queries on the PostgreSQL beside this worker. All methods may be called from any thread.

    Parameters
    ----------
    reader_conninfo
        libpq URI of the reading role; it holds the password.
    connections
        Statements at a time.
    kept
        Idle connections that are kept for the statements of each lane; default: all.
    silence_s
        Seconds after which a silent PostgreSQL is asked whether it lives.
    """

    def __init__(
        self,
        *,
        reader_conninfo: str,
        connections: int,
        kept: Mapping[Lane, int] | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._reads = Reads(reader_conninfo, connections, kept, silence_s)

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
            relations = [table for task in tasks for name in task.relations.values() for table in tables_of(name) or [name]]
            if not place.is_alone:  # others read the same chunks next
                tasks = [task._replace(relations={slot: buffered(name) for slot, name in task.relations.items()}) for task in tasks]
            return self._reads.ask(question(query.template, tasks), relations, place.deadline_s, place.stop, turn.lane)

        characters = len(query.template) + KEY_CHARACTERS * max(len(task.keys or ()) for task in query.tasks) + 1
        tables = max(sum(len(tables_of(name)) or 1 for name in task.relations.values()) for task in query.tasks)
        return Answer(query.tasks, ask, Grouping(place.in_flight, characters, query.first, max(tables, 1)), place)

    def close(self) -> None:
        """End all connections that are not in use."""
        self._reads.close()


class Answer:
    """The rows of a chunk query; those of the statement that answers first come first.

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
        """Turns of the statements that run, and their answers: the first is the one that is read."""
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
        """Ask what may be asked, and wait for the first rows of any statement while PostgreSQL works on the others."""
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
        if len(self._asked) > 1:
            self._asked.rotate(-first_to_come([rows for _, rows in self._asked]))
        if self._asked:
            self._asked[0][1].begin()

"""Sends a chunk query to the nodes and hands back whole chunks: one Flight stream a node, many chunks each.

A chunk's batches are held until its end mark, so that nothing counts twice when a node is lost and its unfinished chunks are asked
of other replicas.
"""

import contextlib
import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import pyarrow as pa

from czar.buffer import ChunkBuffer
from czar.handover import Handover
from czar.joining import joined
from czar.kept_threads import KeptThreads
from qserv.errors import NodeUnavailableError, QservError, QueryCancelledError, TimeLimitError
from qserv.ids import NodeId
from workers.client import Answer, WorkerClient
from workers.protocol import ChunkQuery, ChunkTask, Lane

HELD_CHUNKS = 64
"""Complete chunks of a node that wait for the reader, at the most; a slow reader then holds the nodes back through Flight. So many
small ones that hundreds of nodes are seldom held back, which costs more than to read them."""

HELD_TIMES = 4
"""How many times the bytes at which a single chunk goes to disk may wait, of all nodes together."""

OWN_CHUNKS = 4
"""Chunks of a lone node that the reader's own thread reads, rather than another one: a change of threads is a millisecond of an
interactive query. With more chunks, it gains more that one is read while another one is encoded, unless they share
a statement."""


LOOK_S = 0.25
"""How often it is looked whether a lost node is back, which is waited for where no other one has its chunks."""


NODE_THREADS: Final = KeptThreads(64)
"""Those that read the answers of nodes, for all queries. So many are kept as serve some look-ups at a time."""


class Assignment(NamedTuple):
    """A task, and the nodes that can run it, the preferred one first. (A tuple, because a scan has 100,000 of them.)"""

    task: ChunkTask
    nodes: tuple[NodeId, ...]


class Dispatch:
    """One chunk query, on all its nodes. Read `schema`, iterate over the batches once, close it.

    The nodes are asked when the first of this is done: in a thread that may wait, not in the one that makes it.

    Parameters
    ----------
    query_id, template, timeout_s, lane
        As in `ChunkQuery`.
    assignments
        At least one.
    workers
        A client for every node of the assignments.
    held_bytes
        Bytes of one chunk that are held in memory before the rest goes to disk.
    return_s
        Seconds for which a lost node is waited for, once, where no other one has its chunks.
    """

    def __init__(  # noqa: PLR0913 (the parts of a chunk query and its limits)
        self,
        *,
        query_id: str,
        template: str,
        assignments: Sequence[Assignment],
        workers: Mapping[NodeId, WorkerClient],
        timeout_s: float,
        held_bytes: int,
        lane: Lane = Lane.SCAN,
        first: int = 1,
        return_s: float = 0.0,
    ) -> None:
        self._query_id, self._template, self._timeout_s, self._lane, self._first = query_id, template, timeout_s, lane, first
        self._held_bytes = held_bytes
        self._looks = math.ceil(return_s / LOOK_S)
        self._workers = workers
        nodes = len({assignment.nodes[0] for assignment in assignments})
        self._done: Handover[ChunkBuffer | Exception | None] = Handover(HELD_CHUNKS * nodes, HELD_TIMES * held_bytes)
        self._schema: pa.Schema | None = None
        self._schema_known = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._running = 0
        """Threads that read a node's answer."""
        self._own: Iterator[ChunkBuffer | None] | None = None
        """The answer that the reader's thread reads itself."""
        self._answers: set[Answer] = set()
        self._asked: set[NodeId] = set()
        """Nodes that were asked and have not begun to answer."""
        self._failed: dict[NodeId, NodeUnavailableError] = {}
        """Nodes that cannot go on, and why."""
        self._again: set[NodeId] = set()
        """Of these, those that were waited for, or are: once."""
        self._error: Exception | None = None
        self.chunks_total = len(assignments)
        self._left = {assignment.task.chunk for assignment in assignments}
        """Chunks whose rows are not here. Threads take theirs out of it without a lock: see `Handover`."""
        self._to_start: Sequence[Assignment] = assignments

    @property
    def chunks_done(self) -> int:
        """Chunks whose rows are here."""
        return self.chunks_total - len(self._left)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the batches; waits for the first node.

        Raises
        ------
        QservError
            The query failed before any node answered.
        """
        self._begin()
        while self._own is not None and self._schema is None:
            self._next_own()
        self._schema_known.wait()
        if self._schema is None:
            self.close()
            raise self._error or NodeUnavailableError("the query ended before any node answered; try again")
        return self._schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of complete chunks; small ones that are here at once are joined.

        Raises
        ------
        QservError
            The query failed on a node, and no replica could stand in; or it was closed while its rows were waited for.
        """
        taken: deque[ChunkBuffer | Exception | None] = deque()
        try:
            self._begin()
            while self._own is not None:
                yield from self._next_own() or ()
            ended = False
            while not ended:
                taken = self._done.take()
                ended = bool(taken) and taken[-1] is None
                yield from joined(self._complete(taken))
        finally:
            self.close()
            _let_go(taken)

    def _complete(self, taken: deque[ChunkBuffer | Exception | None]) -> Iterator[ChunkBuffer]:
        """Yield the chunks that the reader took."""
        while True:
            if self._closed.is_set():
                raise _given_up()
            done = taken.popleft() if taken else None
            if done is None:
                return
            if isinstance(done, Exception):
                raise done
            yield done

    def close(self) -> None:
        """Stop whatever still runs, here and on the nodes. Any thread may call it; who waits for rows is woken."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            answers, asked = list(self._answers), list(self._asked)
        for answer in answers:
            answer.close()
        for node in asked:
            # A call that waits for its first rows can be stopped by name alone; in a thread, because the node may be gone.
            threading.Thread(target=self._cancel, args=(node,), name=f"cancel-{node}", daemon=True).start()
        _let_go(self._done.close())
        self._error = self._error or _given_up()
        self._schema_known.set()

    def _cancel(self, node: NodeId) -> None:
        # A node that does not answer has nothing to stop, or ends the query at its time limit.
        with contextlib.suppress(QservError):
            self._workers[node].cancel(self._query_id)

    def _begin(self) -> None:
        """Ask the nodes, if that has not been done."""
        assignments, self._to_start = self._to_start, ()
        if assignments and not self._closed.is_set():
            self._start(assignments, by_reader=True)

    def _start(self, assignments: Sequence[Assignment], *, by_reader: bool) -> None:
        """Start a thread for each node that is preferred by a task; none for a lone node, where the reader calls this."""
        by_node: dict[NodeId, list[Assignment]] = {}
        with self._lock:
            for assignment in assignments:
                ready = [node for node in assignment.nodes if node not in self._failed]
                ready = ready or [node for node in assignment.nodes if node not in self._again]
                if not ready:
                    raise _lost(assignment, self._failed)
                by_node.setdefault(ready[0], []).append(assignment)
            self._again.update(node for node in by_node if node in self._failed)
            if by_reader and len(by_node) == 1 and len(assignments) <= max(OWN_CHUNKS, self._first):
                ((node, tasks),) = by_node.items()
                self._own = self._chunks(node, tasks, by_reader=True)
                return
            self._running += len(by_node)
        for node, tasks in by_node.items():
            NODE_THREADS.start(f"dispatch-{node}", partial(self._run, node, tasks))

    def _run(self, node: NodeId, assignments: list[Assignment]) -> None:
        """Run one node's tasks."""
        try:
            for held in self._chunks(node, assignments, by_reader=False):
                if held is not None:
                    self._put(held)
        except Exception as error:  # noqa: BLE001 (whatever it is, the reader must hear of it)
            self._error = self._error or error
            self._schema_known.set()
            self._put(error)
        with self._lock:
            self._running -= 1
            last = self._running == 0
        if last:
            self._put(None)
            self._schema_known.set()

    def _next_own(self) -> ChunkBuffer | None:
        """Read on in the reader's thread; return a complete chunk, or None where the answer begins or ends."""
        own = self._own
        try:
            return next(own) if own is not None else None
        except StopIteration:
            if self._own is own:  # else other nodes have taken over
                self._own = None
                self._put(None)
            return None
        except Exception as error:
            self._own = None
            if self._closed.is_set():
                raise _given_up() from error
            self.close()
            raise

    def _chunks(self, node: NodeId, tasks: Sequence[Assignment], *, by_reader: bool) -> Iterator[ChunkBuffer | None]:
        """Yield None when a node begins to answer, then its chunks; leave what it does not finish to other replicas."""
        try:
            if node in self._failed:
                self._wait_for(node)
            yield from self._stream(node, tasks)
        except NodeUnavailableError as error:
            with self._lock:
                self._failed[node] = error
            if self._closed.is_set():
                return
            if by_reader:
                self._own = None
            self._start(self._unfinished(tasks), by_reader=by_reader)

    def _wait_for(self, node: NodeId) -> None:
        """Wait until a lost node is back.

        Raises
        ------
        NodeUnavailableError
            It is not.
        """
        for _ in range(self._looks):
            if self._closed.wait(LOOK_S):
                return
            # It does not answer, or not in time.
            with contextlib.suppress(NodeUnavailableError, TimeLimitError):
                self._workers[node].health(LOOK_S)
                with self._lock:
                    self._failed.pop(node, None)
                return
        if (error := self._failed.get(node)) is not None:  # else others found that it is back
            raise error

    def _stream(self, node: NodeId, assignments: Sequence[Assignment]) -> Iterator[ChunkBuffer | None]:
        tasks = tuple(assignment.task for assignment in assignments)
        query = ChunkQuery(self._query_id, self._template, tasks, self._timeout_s, self._lane, self._first)
        with self._lock:
            if self._closed.is_set():
                return
            self._asked.add(node)
        try:
            call = self._workers[node].query(query)
        finally:
            with self._lock:
                self._asked.discard(node)
        with call as answer:
            with self._lock:
                if self._closed.is_set():
                    return
                self._answers.add(answer)
                self._schema = self._schema or answer.schema
            self._schema_known.set()
            yield None
            held = ChunkBuffer(self._held_bytes)
            try:
                for batch, mark in answer:
                    if batch.num_rows:
                        held.add(batch)
                    if mark.end:
                        for chunk in mark.chunks:
                            self._left.remove(chunk)
                        complete, held = held, ChunkBuffer(self._held_bytes)
                        yield complete
                    if self._closed.is_set():
                        return
            finally:
                held.close()  # what came of a chunk that did not end
        if left := self._unfinished(assignments):
            msg = f"worker of {node} ended its answer {len(left)} chunks early; try again"
            raise NodeUnavailableError(msg)

    def _unfinished(self, assignments: Sequence[Assignment]) -> list[Assignment]:
        return [assignment for assignment in assignments if assignment.task.chunk in self._left]

    def _put(self, done: "ChunkBuffer | Exception | None") -> None:
        size_bytes = done.size_bytes if isinstance(done, ChunkBuffer) else 0
        if not self._done.put(done, size_bytes) and isinstance(done, ChunkBuffer):
            done.close()


def _lost(assignment: Assignment, failed: Mapping[NodeId, NodeUnavailableError]) -> NodeUnavailableError:
    """Return the error of a chunk that none of its nodes can answer for. What each of them says ends before its own advice."""
    reasons = ", ".join(f"{node}: {str(failed[node]).partition('; ')[0]}" for node in assignment.nodes)
    return NodeUnavailableError(f"no node could answer for chunk {assignment.task.chunk} ({reasons}); try again")


def _let_go(left: Iterable[ChunkBuffer | Exception | None]) -> None:
    for one in left:
        if isinstance(one, ChunkBuffer):
            one.close()


def _given_up() -> QueryCancelledError:
    return QueryCancelledError("the query was given up before its end")

"""Chunks from nodes that answer, that are lost half-way, that fail: whole chunks only, each once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
import pytest

from czar.dispatch import OWN_CHUNKS, Assignment, Dispatch
from qserv.errors import NodeUnavailableError, QueryCancelledError, QueryEvaluationError
from qserv.ids import NodeId
from tests.support.waiting import PATIENCE_S
from workers.protocol import BatchMark, ChunkTask

SCHEMA = pa.schema([("chunk", pa.int64()), ("row", pa.int64())])
ROWS = 5


class Worker:
    """Answers each task with two batches and an empty one that carries the end mark; may break off inside a chunk."""

    def __init__(self, *, breaks_in=None, error=None, answer=None, back_after_s=None, stays_lost=False):
        self.breaks_in, self.error, self.answer = breaks_in, error, answer or Answer
        self.back_after_s, self.stays_lost, self.since_s = back_after_s, stays_lost, time.monotonic()
        self.asked = []
        self.thread = None
        self.closed = threading.Event()

    def health(self, _timeout_s):
        if self.back_after_s is None or time.monotonic() < self.since_s + self.back_after_s:
            raise self.error
        if not self.stays_lost:
            self.error = None

    @contextmanager
    def query(self, query):
        self.thread = threading.current_thread()
        if self.error and self.breaks_in is None:
            raise self.error
        yield self.answer(self, query)
        self.closed.set()


class Answer:
    schema = SCHEMA

    def __init__(self, worker, query):
        self.worker, self.query = worker, query

    def __iter__(self):
        for task in self.query.tasks:
            self.worker.asked.append(task.chunk)
            yield self.batch(task.chunk, 0, ROWS - 2), BatchMark((task.chunk,), end=False)
            if task.chunk == self.worker.breaks_in and self.worker.error:
                raise self.worker.error
            yield self.batch(task.chunk, ROWS - 2, ROWS), BatchMark((task.chunk,), end=False)
            yield self.batch(task.chunk, 0, 0), BatchMark((task.chunk,), end=True)

    @staticmethod
    def batch(chunk, low, high):
        return pa.RecordBatch.from_pydict({"chunk": [chunk] * (high - low), "row": list(range(low, high))}, SCHEMA)

    def close(self):
        self.worker.closed.set()


def dispatched(workers, replicas, held_bytes=1_000_000, first=1, return_s=0.0):
    return Dispatch(
        query_id="q",
        template="SELECT",
        assignments=[Assignment(ChunkTask(chunk, {}), tuple(map(NodeId, nodes))) for chunk, nodes in replicas.items()],
        workers=workers,
        timeout_s=10,
        held_bytes=held_bytes,
        first=first,
        return_s=return_s,
    )


def expected(chunks):
    return sorted((chunk, row) for chunk in chunks for row in range(ROWS))


def rows_of(batches):
    return sorted((row["chunk"], row["row"]) for batch in batches for row in batch.to_pylist())


@pytest.mark.parametrize("held_bytes", [1_000_000, 1])
def test_all_rows_of_all_chunks_come_once(held_bytes):
    workers = {"a": Worker(), "b": Worker()}
    dispatch = dispatched(workers, {1: "a", 2: "b", 3: "a", 4: "b"}, held_bytes)
    assert dispatch.schema == SCHEMA
    assert rows_of(dispatch) == expected([1, 2, 3, 4])
    assert workers["a"].asked == [1, 3]


@pytest.mark.parametrize("lost_in", [1, 3, 5])
def test_a_lost_nodes_unfinished_chunks_are_asked_of_replicas(lost_in):
    workers = {"a": Worker(breaks_in=lost_in, error=NodeUnavailableError("gone")), "b": Worker()}
    replicas = {1: "ab", 2: "ba", 3: "ab", 4: "ba", 5: "ab"}
    assert rows_of(dispatched(workers, replicas)) == expected(replicas)


def test_a_node_that_was_never_there_is_replaced():
    workers = {"a": Worker(error=NodeUnavailableError("refused")), "b": Worker()}
    dispatch = dispatched(workers, {1: "ab", 2: "ab"})
    assert dispatch.schema == SCHEMA
    assert rows_of(dispatch) == expected([1, 2])


@pytest.mark.parametrize(
    ("chunks", "first", "own"), [(1, 1, True), (OWN_CHUNKS, 1, True), (OWN_CHUNKS + 1, 1, False), (16, 16, True), (17, 16, False)]
)
def test_few_chunks_of_a_lone_node_or_of_one_statement_are_read_by_the_readers_own_thread(chunks, first, own):
    worker = Worker()
    assert rows_of(dispatched({"a": worker}, dict.fromkeys(range(chunks), "a"), first=first)) == expected(range(chunks))
    assert (worker.thread is threading.current_thread()) == own


@pytest.mark.parametrize("breaks_in", [None, 1, 2])
@pytest.mark.parametrize("others", [("b", "b"), ("b", "c")])
def test_a_lone_node_that_is_lost_is_replaced_by_one_or_by_several(breaks_in, others):
    workers = {"a": Worker(breaks_in=breaks_in, error=NodeUnavailableError("gone")), "b": Worker(), "c": Worker()}
    dispatch = dispatched(workers, {chunk: f"a{other}" for chunk, other in zip((1, 2), others, strict=True)})
    assert dispatch.schema == SCHEMA
    assert rows_of(dispatch) == expected([1, 2])
    assert dispatch.chunks_done == 2


class GroupedAnswer(Answer):
    """Answers all tasks with one batch, as one statement does."""

    def __iter__(self):
        chunks = tuple(task.chunk for task in self.query.tasks)
        yield self.batch(chunks[0], 0, ROWS), BatchMark(chunks, end=True)


def test_chunks_that_end_together_count_together():
    worker = Worker(answer=GroupedAnswer)
    dispatch = dispatched({"a": worker}, {7: "a", 1: "a", 2: "a"})
    assert rows_of(dispatch) == expected([7])
    assert dispatch.chunks_done == dispatch.chunks_total == 3


@pytest.mark.parametrize("breaks_in", [None, 1, 2, 7])
@pytest.mark.parametrize("chunks", [2, 10])
def test_without_a_replica_a_lost_node_that_is_soon_back_is_asked_again(breaks_in, chunks):
    gone = NodeUnavailableError("gone")
    workers = {"a": Worker(breaks_in=breaks_in, error=gone, back_after_s=0.5), "b": Worker()}
    dispatch = dispatched(workers, {chunk: "a" if chunk < 9 else "b" for chunk in range(1, chunks + 1)}, return_s=20.0)
    assert dispatch.schema == SCHEMA
    assert rows_of(dispatch) == expected(range(1, chunks + 1))
    assert dispatch.chunks_done == chunks


def test_a_node_is_waited_for_where_its_replica_is_lost_as_well():
    gone = NodeUnavailableError("gone")
    workers = {"a": Worker(error=gone), "b": Worker(breaks_in=2, error=gone, back_after_s=0.1)}
    assert rows_of(dispatched(workers, dict.fromkeys((1, 2, 3), "ba"), return_s=20.0)) == expected([1, 2, 3])


@pytest.mark.parametrize("breaks_in", [None, 1])
def test_a_node_is_asked_again_once(breaks_in):
    worker = Worker(breaks_in=breaks_in, error=NodeUnavailableError("gone"), back_after_s=0.0, stays_lost=True)
    with pytest.raises(NodeUnavailableError, match=r"^no node could answer for chunk 1 \(a: gone\); try again$"):
        list(dispatched({"a": worker}, {1: "a", 2: "a"}, return_s=5.0))
    assert worker.asked == ([1, 1] if breaks_in else [])


def test_who_is_waited_for_may_be_given_up():
    dispatch = dispatched({"a": Worker(error=NodeUnavailableError("gone"))}, {1: "a"}, return_s=20.0)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: dispatch.schema)
        time.sleep(0.3)
        dispatch.close()
        with pytest.raises(QueryCancelledError):
            waiting.result(PATIENCE_S)


def test_without_a_replica_the_error_names_the_chunk_and_the_node():
    workers = {"a": Worker(breaks_in=1, error=NodeUnavailableError("gone"))}
    with pytest.raises(NodeUnavailableError, match=r"^no node could answer for chunk 1 \(a: gone\); try again$"):
        list(dispatched(workers, {1: "a", 2: "a"}))


def test_an_error_before_the_first_answer_comes_out_of_the_schema():
    workers = {"a": Worker(error=QueryEvaluationError("division by zero"))}
    with pytest.raises(QueryEvaluationError, match="division by zero"):
        _ = dispatched(workers, {1: "a"}).schema


def test_an_error_of_the_query_is_not_tried_elsewhere():
    workers = {"a": Worker(breaks_in=1, error=QueryEvaluationError("division by zero")), "b": Worker()}
    with pytest.raises(QueryEvaluationError, match="division by zero"):
        list(dispatched(workers, {1: "ab"}))
    assert workers["b"].asked == []


def test_closing_early_stops_the_nodes():
    workers = {"a": Worker()}
    dispatch = dispatched(workers, dict.fromkeys(range(1000), "a"))
    next(iter(dispatch))
    dispatch.close()
    assert workers["a"].closed.wait(PATIENCE_S)
    assert len(workers["a"].asked) < 1000


class SilentWorker:
    """Computes its first rows until it is cancelled."""

    def __init__(self):
        self.asked, self.cancelled = threading.Event(), threading.Event()

    def query(self, query):
        self.asked.set()
        assert self.cancelled.wait(PATIENCE_S)
        message = f"query {query.query_id} was cancelled"
        raise QueryCancelledError(message)

    def cancel(self, query_id):
        assert query_id == "q"
        self.cancelled.set()


def test_nodes_are_asked_when_the_answer_is_and_not_after_it_was_closed():
    workers = {"a": Worker(), "b": Worker()}
    dispatch = dispatched(workers, {1: "a", 2: "b"})
    dispatch.close()
    with pytest.raises(QueryCancelledError):
        _ = dispatch.schema
    with pytest.raises(QueryCancelledError):
        list(dispatch)
    assert [worker.asked for worker in workers.values()] == [[], []]


@pytest.mark.parametrize("chunks", [1, OWN_CHUNKS + 1])
def test_closing_before_the_first_rows_cancels_the_nodes_and_wakes_who_waits(chunks):
    worker = SilentWorker()
    dispatch = dispatched({"a": worker}, dict.fromkeys(range(chunks), "a"))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: dispatch.schema)
        assert worker.asked.wait(PATIENCE_S)
        dispatch.close()
        with pytest.raises(QueryCancelledError):
            waiting.result(PATIENCE_S)
    assert worker.cancelled.wait(PATIENCE_S)


def test_closing_wakes_a_reader_that_waits_for_rows():
    silent = SilentWorker()
    dispatch = dispatched({"a": Worker(), "b": silent}, {1: "a", 2: "b"})
    rows = iter(dispatch)
    # The rows of the one chunk that is there; the next read waits for the silent node.
    assert rows_of([next(rows)]) == expected([1])
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(next, rows)
        assert silent.asked.wait(PATIENCE_S)
        dispatch.close()
        with pytest.raises(QueryCancelledError):
            waiting.result(PATIENCE_S)


def test_an_error_of_one_node_does_not_wait_for_the_others():
    silent = SilentWorker()

    class Fails(Worker):
        def query(self, query):
            assert silent.asked.wait(PATIENCE_S)
            return super().query(query)

    workers = {"a": Fails(error=QueryEvaluationError("division by zero")), "b": silent}
    with pytest.raises(QueryEvaluationError, match="division by zero"):
        _ = dispatched(workers, {1: "a", 2: "b"}).schema
    assert silent.cancelled.wait(PATIENCE_S)

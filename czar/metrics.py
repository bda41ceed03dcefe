"""What a czar did and does, for Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from czar.answer import Outcome
from czar.execution import Execution
from czar.node_metrics import NodeMetrics
from qserv.errors import QueryCancelledError, TooManyQueriesError, UserBytesError, UserRowsError
from qserv.ids import NodeId
from workers.client import WorkerClient

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
"""Bounds of the histogram of times: from a look-up of a key to the default time limit."""


class Metrics:
    """The metrics of one czar, in a registry of their own.

    Parameters
    ----------
    running, waiting
        How many queries run and wait at this moment.
    workers
        Tell of their lanes.
    """

    def __init__(self, running: Callable[[], float], waiting: Callable[[], float], workers: Mapping[NodeId, WorkerClient]) -> None:
        self._registry = CollectorRegistry()
        self._queries = self._counter("queries", "Queries that have ended, by dialect and outcome.", "dialect", "outcome")
        self._seconds = Histogram(
            "qserv_query_seconds", "Time of a query, to its last row.", ["dialect"], buckets=SECONDS, registry=self._registry
        )
        self._rows = self._counter("rows", "Rows of answers.")
        self._bytes = self._counter("bytes", "Bytes of answers, in Arrow's memory.")
        self._chunks = self._counter("chunks", "Chunks that were asked of the nodes.")
        self._steps = self._counter("steps", "Steps of queries that could not be answered at once.")
        self._merge_bytes = self._counter("merge_bytes", "Bytes of chunks' rows that the czar combined, in Arrow's memory.")
        self._gauge("queries_running", "Queries that are answered now.").set_function(running)
        self._gauge("queries_waiting", "Queries that wait for others to end.").set_function(waiting)
        self._registry.register(NodeMetrics(workers))

    def ended(self, execution: Execution, outcome: Outcome, seconds: float, chunk_count: int) -> None:
        """Count a query that has ended."""
        self._queries.labels(execution.dialect, _outcome(outcome)).inc()
        self._seconds.labels(execution.dialect).observe(seconds)
        self._rows.inc(outcome.rows)
        self._bytes.inc(outcome.size_bytes)
        self._chunks.inc(chunk_count)
        if execution.measured is not None:
            self._steps.inc(execution.measured.step_count)
            self._merge_bytes.inc(execution.measured.merged_bytes)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format; waits for the workers."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"qserv_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"qserv_{name}", meaning, registry=self._registry)


def _outcome(outcome: Outcome) -> str:
    if outcome.error is None:
        return "completed"
    if isinstance(outcome.error, TooManyQueriesError | UserRowsError | UserBytesError):
        return "refused"
    return "cancelled" if isinstance(outcome.error, QueryCancelledError) else "error"

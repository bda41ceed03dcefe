"""What the workers say of their lanes, for Prometheus: asked anew each time the metrics are read."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from qserv.errors import QservError
from qserv.ids import NodeId
from workers.client import WorkerClient

ASKED_AT_A_TIME: Final = 16
"""A worker answers in a millisecond."""

PATIENCE_S: Final = 2.0
"""Prometheus gives up after 10 s."""

GAUGES: Final = {
    "waiting": "Chunks that wait for their turn.",
    "running": "Statements that run in the slots of a lane.",
    "aside": "Statements that took too long for their lane: they have given their slot up, and go on.",
}
COUNTERS: Final = {
    "begun": "Statements begun since the worker started.",
    "waited_s": "Seconds that statements waited for their turn.",
    "slow": "Statements that took too long for their lane; those of the interactive lane are demoted.",
}
SPELLED_OUT: Final = {"waited_s": "waited_seconds"}
"""Prometheus names units by whole words."""

LABELS: Final = ("node", "lane")


class NodeMetrics(Collector):
    """Lanes of all workers.

    Parameters
    ----------
    workers
        Who is asked. One that does not answer has ``qserv_worker_up`` 0, and nothing else.
    """

    def __init__(self, workers: Mapping[NodeId, WorkerClient]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        """Ask the workers; return what they say."""
        with ThreadPoolExecutor(ASKED_AT_A_TIME) as threads:
            told = dict(zip(self._workers, threads.map(_lanes, self._workers.values()), strict=True))
        up = GaugeMetricFamily("qserv_worker_up", "Whether a worker and its PostgreSQL answer.", labels=["node"])
        gauges = {name: GaugeMetricFamily(f"qserv_lane_{name}", meaning, labels=LABELS) for name, meaning in GAUGES.items()}
        counters = {
            name: CounterMetricFamily(f"qserv_lane_{SPELLED_OUT.get(name, name)}", meaning, labels=LABELS)
            for name, meaning in COUNTERS.items()
        }
        for node, lanes in told.items():
            up.add_metric([node], float(lanes is not None))
            for lane, state in (lanes or {}).items():
                for name, family in (gauges | counters).items():
                    family.add_metric([node, lane], state[name])
        return [up, *gauges.values(), *counters.values()]

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that no worker is asked when this is registered."""
        return []


def _lanes(worker: WorkerClient) -> dict[str, dict[str, Any]] | None:
    """Return the lanes of a worker, None if it does not answer."""
    try:
        lanes: dict[str, dict[str, Any]] = worker.health(PATIENCE_S)["lanes"]
    except QservError:
        return None
    return lanes

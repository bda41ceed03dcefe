"""Metrics of nodes that do not answer; those of nodes that do are in tests/czar/service."""

from prometheus_client import CollectorRegistry, generate_latest

from czar.node_metrics import NodeMetrics
from qserv.ids import NodeId
from workers.client import WorkerClient


def test_a_worker_that_does_not_answer_is_down_and_says_nothing():
    registry = CollectorRegistry()
    with WorkerClient("127.0.0.1", 1, "secret") as worker:
        registry.register(NodeMetrics({NodeId("node-1"): worker}))
        text = generate_latest(registry).decode()
    assert 'qserv_worker_up{node="node-1"} 0.0' in text
    assert "qserv_lane_begun_total{" not in text

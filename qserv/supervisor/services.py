"""Which processes run beside the PostgreSQL servers, as data: a caller may leave some out."""

from collections.abc import Callable
from dataclasses import dataclass

from qserv.cluster import Cluster


@dataclass(frozen=True)
class Service:
    """One process: ``python -m module --home <home> *arguments``, ready when it answers on its port.

    ``name`` is unique in the cluster: the name of its log and run record. Services of the same ``kind`` start together.
    """

    name: str
    kind: str
    module: str
    arguments: tuple[str, ...]
    host: str
    port: int


ChooseServices = Callable[[Cluster], tuple[Service, ...]]
"""Says which services a cluster gets, in the order of start; they are stopped in reverse."""


def worker_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return one worker for each node."""
    return tuple(
        Service(f"{node.node}-worker", "worker", "workers", ("--node", node.node), node.host, node.worker_port)
        for node in cluster.nodes
    )


def tap_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the TAP service."""
    return (Service("tap", "tap", "tap", (), cluster.tap_host, cluster.tap_port),)


def all_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the workers, then the TAP service that asks them."""
    return worker_services(cluster) + tap_services(cluster)


def no_services(_cluster: Cluster) -> tuple[Service, ...]:
    """Return nothing: PostgreSQL servers only."""
    return ()

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


def czar_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the czar's own API. It reads ADQL by the reader of the TAP service, which only who starts it may know."""
    dialects = ("--dialect", "adql=tap.adql.parse:parse_adql")
    return (Service("czar", "czar", "czar.service", dialects, cluster.czar_host, cluster.czar_port),)


def all_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the workers, then the czar and the TAP service that ask them."""
    return worker_services(cluster) + czar_services(cluster) + tap_services(cluster)


def no_services(_cluster: Cluster) -> tuple[Service, ...]:
    """Return nothing: PostgreSQL servers only."""
    return ()

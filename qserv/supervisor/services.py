"""Which processes run beside the PostgreSQL servers, as data: a caller may leave some out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from qserv.cluster import Cluster

GIVES_MEMORY_BACK: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}
"""Environment of a process that has large blocks of rows now and then, in many threads: as they come, glibc and Arrow's allocator
keep what each of them has freed. A czar that had answered seventy queries over 2 GB of tables held 300 MB so, of which a third were
pages of arenas that nobody used; with these it is 200 MB, for the same processor time. Variables that are set already stay."""

KEEPS_COLUMNS: Final = GIVES_MEMORY_BACK | {
    "ARROW_DEFAULT_MEMORY_POOL": "mimalloc",
    "MALLOC_MMAP_THRESHOLD_": "16777216",
    "MALLOC_TRIM_THRESHOLD_": "33554432",
}
"""Environment of the ingest service, which takes memory for one column after the other and gives it back. To get each from the
kernel anew made 400,000 page faults for 1,000,000 rows of Parquet, 1,000,000 for CSV, and took 1 and 3 s. NumPy's are glibc's.
Arrow's must not: among the many small ones of CSV, it kept 1.1 rather than 0.7 GB."""


@dataclass(frozen=True)
class Service:
    """One process: ``python -m module --home <home> *arguments``, ready when it answers on its port.

    ``name`` is unique in the cluster: the name of its log and run record. Workers start together, then all others.
    """

    name: str
    kind: str
    module: str
    arguments: tuple[str, ...]
    host: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)


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
    return (Service("tap", "tap", "tap", (), cluster.tap_host, cluster.tap_port, GIVES_MEMORY_BACK),)


def czar_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the czar's own API. It reads ADQL by the reader of the TAP service, which only who starts it may know."""
    dialects = ("--dialect", "adql=tap.adql.parse:parse_adql")
    return (Service("czar", "czar", "czar.service", dialects, cluster.czar_host, cluster.czar_port, GIVES_MEMORY_BACK),)


def ingest_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the ingest service."""
    return (Service("ingest", "ingest", "ingest.service", (), cluster.ingest_host, cluster.ingest_port, KEEPS_COLUMNS),)


def all_services(cluster: Cluster) -> tuple[Service, ...]:
    """Return the workers, then the services that ask them."""
    return worker_services(cluster) + ingest_services(cluster) + czar_services(cluster) + tap_services(cluster)


def no_services(_cluster: Cluster) -> tuple[Service, ...]:
    """Return nothing: PostgreSQL servers only."""
    return ()

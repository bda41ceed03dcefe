"""The nodes as a load sees them: a client a worker, and a bounded number of streams to each."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from typing import TypeVar

from qserv.ids import NodeId
from qserv.metadata.nodes import Node
from workers.client import WorkerClient

STREAMS_PER_NODE = 2
"""Chunk loads sent to a node at a time: while one waits for its commit the other fills PostgreSQL; more only take memory."""

T = TypeVar("T")


class Nodes:
    """The workers of a cluster, called in threads. Make it with `connected_nodes`."""

    def __init__(
        self, nodes: Sequence[Node], secret: str, clients: dict[NodeId, WorkerClient], pools: dict[NodeId, ThreadPoolExecutor]
    ) -> None:
        self.listed, self.secret = tuple(nodes), secret
        self.weights = {node.node_id: node.weight for node in nodes}
        self._clients = clients
        self._pools = pools

    @property
    def names(self) -> tuple[NodeId, ...]:
        """All nodes."""
        return tuple(self._clients)

    async def call(self, node: NodeId, work: Callable[[WorkerClient], T], stop: threading.Event | None = None) -> T:
        """Run blocking work with a node's client, in one of the node's streams.

        When the caller is cancelled, work that has begun is waited for: nothing goes on behind the back of a clean-up.

        Parameters
        ----------
        stop
            Set when the caller is cancelled, for work that looks at it.
        """
        future = self._pools[node].submit(work, self._clients[node])
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if stop is not None:
                stop.set()
            if not future.cancel():
                over = asyncio.ensure_future(asyncio.to_thread(wait, [future]))
                while not over.done():
                    # A task may be cancelled again while it waits, as by two groups of tasks, one within the other.
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.shield(over)
            raise

    async def call_all(self, work: Callable[[WorkerClient], T]) -> list[T]:
        """Run blocking work on every node at once."""
        return await all_or_first_error(self.call(node, work) for node in self.names)


@asynccontextmanager
async def connected_nodes(nodes: Sequence[Node], secret: str, streams: int = STREAMS_PER_NODE) -> AsyncIterator[Nodes]:
    """Lend the workers of these nodes. At the end, work that has begun is waited for.

    Parameters
    ----------
    secret
        The cluster secret.
    streams
        What is asked of each at a time, at the most.
    """
    clients = {node.node_id: WorkerClient(node.host, node.worker_port, secret) for node in nodes}
    pools = {node.node_id: ThreadPoolExecutor(streams, f"load-{node.node_id}") for node in nodes}
    try:
        yield Nodes(nodes, secret, clients, pools)
    finally:
        for pool in pools.values():
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        for client in clients.values():
            client.close()


async def all_or_first_error(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all of some work. The first error stops what has not begun; it is raised when what has begun is over.

    Unlike `asyncio.TaskGroup`, it raises the error itself, not a group of errors.
    """
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

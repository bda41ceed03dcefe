"""Changes of all physical tables of a table, on all nodes, with a word of how far they are."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from ingest.nodes import Nodes, all_or_first_error
from ingest.report import Progress, ProgressCallback, Stage
from qserv.ids import NodeId
from workers.client import WorkerClient
from workers.table_actions import TablesDone

Change = Callable[[WorkerClient], Iterator[TablesDone]]
"""Lets a node change its tables."""


async def change_tables(nodes: Nodes, change: Change, table: str, stage: Stage, progress: ProgressCallback) -> None:
    """Let all nodes change a table. When the caller is cancelled, a node ends what it is at."""
    stopped, lock, done, totals = threading.Event(), threading.Lock(), Counter[NodeId](), Counter[NodeId]()

    def work(node: NodeId, client: WorkerClient) -> None:
        for so_far in change(client):
            with lock:  # what is told never falls
                done[node], totals[node] = so_far.done, so_far.total
                progress(Progress(table, stage, done.total(), totals.total()))
            if stopped.is_set():  # leaving the loop ends the call
                break

    await all_or_first_error(nodes.call(node, partial(work, node), stopped) for node in nodes.names)

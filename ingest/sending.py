"""Runs -> the nodes: each gets the rows of its chunks, to keep on its disk until the table is built."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import pyarrow as pa

from ingest.nodes import Nodes, all_or_first_error
from ingest.sorting import Run, SortedRows
from qserv.errors import IngestError
from qserv.ids import REPLICATED_CHUNK, ChunkId, NodeId
from qserv.placement import place_chunk
from workers.client import WorkerClient
from workers.protocol import RunLoad
from workers.table_actions import DropRuns


class Placement(dict[ChunkId, tuple[NodeId, ...]]):
    """Nodes that hold each chunk of a family, the preferred one first; those that are not known are found when first asked for."""

    def __init__(
        self, family: str, nodes: Nodes, replicas: int, known: Mapping[ChunkId, tuple[NodeId, ...]] = MappingProxyType({})
    ) -> None:
        super().__init__({**known, REPLICATED_CHUNK: nodes.names})
        self.family, self.replicas, self._nodes = family, replicas, nodes

    def __missing__(self, chunk: ChunkId) -> tuple[NodeId, ...]:
        self[chunk] = place_chunk(self.family, chunk, self._nodes.weights, self.replicas)
        return self[chunk]


@dataclass
class Sender:
    """Sends the runs of a table.

    Attributes
    ----------
    transaction, table
        Their numbers.
    schema
        Of the rows.
    chunks
        What each node has been sent rows of.
    """

    nodes: Nodes
    transaction: int
    table: int
    schema: pa.Schema
    placement: Placement
    chunks: dict[NodeId, set[ChunkId]] = field(default_factory=dict)

    async def send(self, number: int, run: Run) -> None:
        """Send a run. When this returns, it is on the disks of all its nodes.

        Raises
        ------
        StorageFullError, NodeUnavailableError
            From a node.
        """
        parts = await asyncio.to_thread(run.nodes, self.placement)
        for node, of_node in parts.items():
            self.chunks.setdefault(node, set()).update(*(rows.slices for rows in of_node.values()))
        await all_or_first_error(self.nodes.call(node, partial(self._send, node, number, rows)) for node, rows in parts.items())

    async def forget(self) -> None:
        """Let the nodes delete the runs of the table."""
        await self.nodes.call_all(lambda client: client.drop_runs(DropRuns(self.transaction, self.table)))

    def _send(self, node: NodeId, number: int, parts: Mapping[str, SortedRows], client: WorkerClient) -> None:
        for part, rows in parts.items():
            message = RunLoad(self.transaction, self.table, number, part, list(rows.slices), rows.ends)
            confirmed = client.load(message, self.schema, rows.batches()).rows
            if confirmed != message.ends[-1]:
                msg = f"node {node} confirmed {confirmed} rows of a run, {message.ends[-1]} were sent; load again"
                raise IngestError(msg)

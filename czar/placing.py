"""Which node runs which chunk of a plan."""

import zlib
from collections.abc import Sequence

from czar.dispatch import Assignment
from czar.plan.model import PROTOTYPE_TASK, Plan
from qserv.errors import NodeUnavailableError
from qserv.ids import NodeId
from workers.protocol import ChunkTask


def assignments(plan: Plan, query_id: str) -> list[Assignment]:
    """Return the tasks of a plan, each with the nodes that can run it, the load spread over replicas by query and chunk.

    Raises
    ------
    NodeUnavailableError
        No node has a readable copy of a chunk.
    """
    if plan.step is None:
        return []
    catalogue = plan.catalogue
    placed = catalogue.replicas.get(plan.family or "", {})
    found = []
    for chunk in plan.tasks:
        nodes: Sequence[NodeId] = catalogue.nodes if chunk == PROTOTYPE_TASK else placed.get(chunk, ())
        if not nodes:
            msg = f"no node has chunk {chunk} of family {plan.family}; ask an admin to look at `qserv status`"
            raise NodeUnavailableError(msg)
        first = zlib.crc32(f"{query_id}/{chunk}".encode()) % len(nodes)
        task = ChunkTask(chunk, plan.step.relations(chunk, plan.snapshot))
        found.append(Assignment(task, (*nodes[first:], *nodes[:first])))
    return found

"""Which node runs which chunk of a plan."""

import itertools
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
    relations = plan.step.relations(plan.snapshot)
    names = tuple(relations)
    of_tasks = zip(*relations.values(), strict=True) if names else itertools.repeat(())
    start = zlib.crc32(f"{query_id}/".encode())
    found = []
    for chunk, filled in zip(plan.tasks, of_tasks, strict=bool(names)):
        nodes: Sequence[NodeId] = catalogue.nodes if chunk == PROTOTYPE_TASK else placed.get(chunk, ())
        if not nodes:
            msg = f"no node has chunk {chunk} of family {plan.family}; ask an admin to look at `qserv status`"
            raise NodeUnavailableError(msg)
        first = zlib.crc32(b"%d" % chunk, start) % len(nodes)
        task = ChunkTask(chunk, dict(zip(names, filled, strict=True)))
        found.append(Assignment(task, (*nodes[first:], *nodes[:first]) if first else tuple(nodes)))
    return found

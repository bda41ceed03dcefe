"""Which node runs which chunk of a plan."""

import zlib
from collections.abc import Sequence

import numpy as np

from czar.dispatch import Assignment
from czar.plan.model import PROTOTYPE_TASK, ChunkStep, Plan
from qserv.errors import NodeUnavailableError
from qserv.ids import NodeId
from workers.protocol import ChunkTask

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio."""


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
    for task, number in zip(_tasks(plan, plan.step), _spread(plan.tasks, query_id), strict=True):
        chunk = task.chunk
        nodes: Sequence[NodeId] = catalogue.nodes if chunk == PROTOTYPE_TASK else placed.get(chunk, ())
        if not nodes:
            msg = f"no node has chunk {chunk} of family {plan.family}; ask an admin to look at `qserv status`"
            raise NodeUnavailableError(msg)
        first = number % len(nodes)
        found.append(Assignment(task, (*nodes[first:], *nodes[:first]) if first else tuple(nodes)))
    return found


def _tasks(plan: Plan, step: ChunkStep) -> list[ChunkTask]:
    relations = step.relations(plan.snapshot)
    if not relations:
        return [ChunkTask(chunk, {}) for chunk in plan.tasks]
    filled = zip(*relations.values(), strict=True)
    tasks = [ChunkTask(chunk, dict(zip(relations, names, strict=True))) for chunk, names in zip(plan.tasks, filled, strict=True)]
    return tasks if step.keys is None else [task._replace(keys=step.keys.get(task.chunk, ())) for task in tasks]


def _spread(chunks: Sequence[int], query_id: str) -> list[int]:
    """Return a number for each chunk, which looks random but is the same for the same query.

    Source: multiplicative hashing by the golden ratio, D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4.
    """
    seed = zlib.crc32(query_id.encode())
    mixed = (np.array(chunks, dtype=np.int64) ^ seed).view(np.uint64) * GOLDEN
    found: list[int] = (mixed >> np.uint64(40)).tolist()  # its high bits depend on all bits of a chunk's number
    return found

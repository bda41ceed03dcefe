"""How long a query takes, before it has run: bytes by rates. A guess, for one who wonders whether to wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from czar.analyse.query import Access
from czar.estimate import Estimate, row_bytes
from czar.plan.model import Plan

START_S: Final = 0.005
"""Planning, a round trip to the nodes, first rows: a small query takes little else."""

CHUNK_S: Final = 0.0005
"""PostgreSQL's and the worker's work for a chunk, whatever is in it."""

FOUND_BYTES: Final = 65_536
"""Eight pages: what is read of a chunk where an index finds few rows."""

READ_BYTES_PER_S: Final = 200e6
"""What a node reads, filters and sums in a second from the file cache with one core: some 2,000,000 rows of 100 bytes."""

SEND_BYTES_PER_S: Final = 200e6
"""Rows from all nodes to the czar, in Arrow's memory."""

COMBINE_BYTES_PER_S: Final = 100e6
"""Rows that DuckDB groups or sorts."""

SCRATCH_BYTES_PER_S: Final = 30e6
"""Rows that are copied to the scratch database and computed with."""

LEARNED_S: Final = 0.2
"""What was shorter says more of the machine's other work than of its rates."""

NEW_SHARE: Final = 0.3
"""Share of the last query in the pace."""

MOST: Final = 20.0
"""Factor that the pace stays within: a query that a lock held up says nothing of the next one."""


@dataclass(frozen=True)
class Times:
    """Seconds, by what is done; nothing else runs meanwhile, and what is read is in the file cache."""

    nodes: float
    combine: float
    finish: float

    @property
    def total(self) -> float:
        """All of it, one after another."""
        return self.nodes + self.combine + self.finish


@dataclass
class Pace:
    """How much slower the nodes are than the constants say: learned from the queries that have run."""

    factor: float = 1.0

    def learn(self, expected_s: float, took_s: float) -> None:
        """Take note of what the nodes took, and of what was expected by this pace."""
        if took_s >= LEARNED_S and expected_s > 0:
            now = self.factor * took_s / expected_s
            learned = self.factor ** (1 - NEW_SHARE) * now**NEW_SHARE
            self.factor = min(max(learned, 1 / MOST), MOST)


STATED: Final = Pace()
"""The constants alone."""


def expected(plan: Plan, nodes: Mapping[str, int], sent: Estimate, pace: Pace) -> Times:
    """Return what a plan will take.

    Parameters
    ----------
    nodes
        Chunks asked of each node.
    sent
        What the nodes send, at the most.
    """
    chunks = max(len(plan.tasks), 1)
    most = max(nodes.values(), default=1)
    few_bytes = chunks * FOUND_BYTES
    is_few = plan.access in {Access.KEYS, Access.SPOT}
    read_bytes = few_bytes if is_few else _read_bytes(plan)
    sent_bytes = min(sent.size_bytes, few_bytes) if is_few else sent.size_bytes
    work_s = most * CHUNK_S + read_bytes * most / chunks / READ_BYTES_PER_S + sent_bytes / SEND_BYTES_PER_S
    return Times(
        nodes=START_S + pace.factor * work_s,
        combine=sent_bytes / COMBINE_BYTES_PER_S if plan.combine else 0.0,
        finish=START_S + sent_bytes / SCRATCH_BYTES_PER_S if plan.finish else 0.0,
    )


def of_steps(sent_bytes: int) -> Times:
    """Return what PostgreSQL takes over the rows of steps."""
    return Times(0.0, 0.0, START_S + sent_bytes / SCRATCH_BYTES_PER_S)


def _read_bytes(plan: Plan) -> int:
    """Return the bytes of the tables in the chunks of a plan."""
    if plan.step is None:
        return 0
    chunks = np.array(plan.step.chunks, dtype=np.int64)
    return sum(slot.entry.rows_in(chunks) * row_bytes(slot.entry.table) for slot in plan.step.slots if not slot.overlap)

"""In which lane of the workers a plan's chunks wait for their turn, and how many are asked at first. No I/O."""

from typing import Final

from czar.analyse.query import Access
from czar.plan.model import Plan
from workers.protocol import Lane

REGION_CHUNKS: Final = 16
"""Chunks of a region that an index serves: of more, most lie wholly inside, and are read whole."""

QUICK_ROWS: Final = 100_000
"""Rows that are read whole in a tenth of a second by one core."""

FEW_CHUNKS: Final = 16
"""Chunks of a node in which an index finds few rows, for one statement. Each takes PostgreSQL 0.1 to 0.5 ms, most of it planning;
a statement of its own would cost 1 ms more."""

FIRST_ROWS: Final = 200_000
"""Rows that one statement reads at first: a tenth of a second, as further statements may take (`workers.grouping.STATEMENT_S`)."""


def lane_of(plan: Plan) -> Lane:
    """Return the lane of a plan: interactive where an index finds few rows, or where there are few.

    A guess is enough: what turns out to be slow is demoted by the worker.
    """
    by_region = plan.access in {Access.REGION, Access.SPOT} and len(plan.tasks) <= REGION_CHUNKS
    if plan.access is Access.KEYS or by_region or plan.rows <= QUICK_ROWS:
        return Lane.INTERACTIVE
    return Lane.SCAN


def first_of(plan: Plan) -> int:
    """Return how many chunks of a plan the first statement on a node may be for.

    What a pair of tables takes does not follow from their rows, and what sends rows rather than groups of them should begin to.
    """
    if plan.access >= Access.SPOT:
        return FEW_CHUNKS
    if plan.step is None or len(plan.step.slots) != 1 or plan.combine is None:
        return 1
    return max(1, FIRST_ROWS * len(plan.tasks) // max(plan.rows, 1))

"""In which lane of the workers a plan's chunks wait for their turn. No I/O."""

from typing import Final

from czar.analyse.query import Access
from czar.plan.model import Plan
from workers.protocol import Lane

REGION_CHUNKS: Final = 16
"""Chunks of a region that an index serves: of more, most lie wholly inside, and are read whole."""

QUICK_ROWS: Final = 100_000
"""Rows that are read whole in a tenth of a second by one core."""


def lane_of(plan: Plan) -> Lane:
    """Return the lane of a plan: interactive where an index finds few rows, or where there are few.

    A guess is enough: what turns out to be slow is demoted by the worker.
    """
    by_region = plan.access is Access.REGION and len(plan.tasks) <= REGION_CHUNKS
    if plan.access is Access.KEYS or by_region or plan.rows <= QUICK_ROWS:
        return Lane.INTERACTIVE
    return Lane.SCAN

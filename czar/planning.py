"""A named query -> its plan, or the reason why it must be answered in steps."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from czar.analyse import NotLocalError, Query, locality_of, pruned
from czar.plan.build import build, check_shape
from czar.plan.model import Plan
from czar.snapshot import Snapshot


async def planned_query(query: Query, locate: Callable[[Query], Awaitable[Query]], max_rows: int | None) -> Plan | str:
    """Return the plan of a query, or the reason why it must be answered in steps."""
    locality = locality_of(query)
    if not any(source.entry.database for source in query.sources):
        return "no table of a catalogue is left to be read"
    try:
        rows = locality.of_rows(query.tree)
    except NotLocalError as error:
        return str(error)
    try:
        check_shape(query, rows)
    except NotLocalError as error:
        # It is answered at once if a single chunk holds all of its rows; the tree may be needed as it was.
        alone = pruned(replace(query, tree=query.tree.copy()), rows)
        alone = await locate(alone)
        return build(alone, rows, Snapshot(), max_rows=max_rows) if len(alone.chunks) <= 1 else str(error)
    found = pruned(query, rows)
    return build(await locate(found), rows, Snapshot(), max_rows=max_rows)

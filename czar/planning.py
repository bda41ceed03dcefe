"""A named query -> its plan, or what keeps it from being answered at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from czar.analyse import NotLocalError, Query, locality_of, pruned
from czar.analyse.counts import computed_counts
from czar.analyse.lists import sought
from czar.plan.build import build, check_shape
from czar.plan.model import Plan
from czar.snapshot import Snapshot

FEW_CHUNKS: Final = 8
"""So many are asked in the time of a step that would leave most of them out."""


@dataclass(frozen=True, eq=False)
class Obstacle:
    """Why a query must be answered in steps."""

    reason: str
    first: exp.Expr | None = None
    """The part of it that is to be the next step, where the query itself says so."""


async def planned_query(query: Query, locate: Callable[[Query], Awaitable[Query]], max_rows: int | None) -> Plan | Obstacle:
    """Return the plan of a query, or the reason why it must be answered in steps."""
    for clause in computed_counts(query.tree):
        return Obstacle(f"{clause.upper()} is computed before the rows that it counts")
    locality = locality_of(query)
    if not any(source.entry.database for source in query.sources):
        return Obstacle("no table of a catalogue is left to be read")
    try:
        rows = locality.of_rows(query.tree)
    except NotLocalError as error:
        return Obstacle(str(error))
    try:
        check_shape(query, rows)
    except NotLocalError as error:
        # It is answered at once if a single chunk holds all of its rows; the tree may be needed as it was.
        alone = pruned(replace(query, tree=query.tree.copy()), rows)
        alone = await locate(alone)
        return build(alone, rows, Snapshot(), max_rows=max_rows) if len(alone.chunks) <= 1 else Obstacle(str(error))
    first = sought(query) if rows.partitioned else None
    if first is not None:
        trial = await locate(pruned(replace(query, tree=query.tree.copy()), rows))
        if len(trial.chunks) > FEW_CHUNKS:
            return Obstacle("its rows say which chunks are asked", first)
    found = pruned(query, rows)
    return build(await locate(found), rows, Snapshot(), max_rows=max_rows)

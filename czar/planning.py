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
from czar.plan.provenance import kept_tables, provenance_plan
from czar.snapshot import Snapshot
from czar.steps.provenance import read_first

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
    beforehand = _beforehand(query, max_rows)
    if beforehand is not None:
        return beforehand
    locality = locality_of(query)
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


def _beforehand(query: Query, max_rows: int | None) -> Plan | Obstacle | None:
    """Return what is done with a query before the nodes are asked for all of it, if anything is."""
    for clause in computed_counts(query.tree):
        return Obstacle(f"{clause.upper()} is computed before the rows that it counts")
    if kept := kept_tables(query):
        plan = provenance_plan(query, max_rows)
        return plan or Obstacle("provenance is in the metadata database", read_first(query, kept))
    if not any(source.entry.database for source in query.sources):
        return Obstacle("no table of a catalogue is left to be read")
    return None

"""Loads whose process died: what they left is taken away, and they wait once more, or are aborted."""

import contextlib
from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import clear_builds
from ingest.columns import take_back
from ingest.leftovers import clear_runs, remove_hidden
from ingest.nodes import Nodes, connected_nodes
from ingest.publication import describe_published
from qserv.errors import FamilyHeldError, IngestError
from qserv.metadata import columns, loads, segments, transactions
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import MAX_ATTEMPTS, Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock
from qserv.metadata.segments import BuildKind
from qserv.metadata.transactions import LEFT_OPEN, TransactionState


async def recover(engine: AsyncEngine, secret: str, running: Collection[str] = ()) -> list[Queued]:
    """Heal what dead loads left; return these loads. Those that run, here or in another process, are left alone.

    Parameters
    ----------
    running
        Names of the loads that run here.

    Raises
    ------
    QservError
        A part of the cluster does not answer. It can be tried again.
    """
    async with connect(engine) as connection:
        opened = await loads.opened(connection)
        nodes = await list_nodes(connection)
        uncleared = await transactions.uncleared(connection)
        building = await segments.building(connection, BuildKind.APPEND)
        stray = await columns.aborted(connection)
    found = [load for load in opened if load.name not in running]
    if not (found or uncleared or building or stray):
        return []
    dead = []
    async with connected_nodes(nodes, secret) as clients:
        for load in found:
            with contextlib.suppress(FamilyHeldError):
                async with family_lock(engine, load.family):
                    dead += [load] if await _heal(engine, clients, load) else []
        for family in building:
            with contextlib.suppress(FamilyHeldError):
                async with family_lock(engine, family):
                    await clear_builds(engine, clients, family)
        await clear_runs(engine, clients)
        await take_back(engine, clients, stray)
    return dead


async def _heal(engine: AsyncEngine, nodes: Nodes, load: Queued) -> bool:
    """Heal what a load left whose family nobody holds; return False if it needs nothing."""
    async with connect(engine) as connection:
        state = await loads.state_of(connection, load.name)
    if state is not load.state:
        return False  # it went on a moment ago
    if state is TransactionState.OPEN:
        await remove_hidden(engine, nodes, load.database)
        await describe_published(engine, nodes)
    async with changing(engine, "service.load.recover") as connection:
        if state is TransactionState.COMMITTED:
            await loads.write_end(connection, load.transaction_id, progress=load.progress or {}, report=None, code=None)
        elif load.attempt >= MAX_ATTEMPTS or not await loads.requeue(connection, load):
            await transactions.end(connection, load.transaction_id, LEFT_OPEN)
            await loads.close(connection, load.transaction_id, IngestError.code)
    return True

"""The moment when tables that were loaded beside published ones take their place; see `ingest.staging`."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.family import Family
from ingest.nodes import Nodes
from ingest.staging import Staging, staged_database
from qserv.failpoints import durable
from qserv.metadata.catalogue import DatabaseRow
from qserv.metadata.engine import changing, connect
from qserv.metadata.registration import unpublish
from qserv.metadata.replacement import take_place
from workers.client import WorkerClient
from workers.table_actions import MoveTable


async def swap(engine: AsyncEngine, nodes: Nodes, family: Family, staging: Staging) -> None:
    """Drop the tables that are replaced, and put the new ones, still hidden, in their place.

    Raises
    ------
    NodeUnavailableError
        A node does not answer. If one does not at the beginning, nothing has been changed.
    """
    await nodes.call_all(lambda client: client.health())
    names = sorted(staging.replaced)
    async with connect(engine) as connection:
        with durable("ingest.swap.hide"):
            await unpublish(connection, staging.database, names)
    for name in names:
        await nodes.call_all(partial(_move, action=MoveTable(staged_database(staging.database), staging.database, name)))
    database = family.database
    row = DatabaseRow(database.name, database.family, database.description, database.version)
    async with changing(engine, "ingest.swap.take_place") as connection:
        await take_place(connection, staged_database(staging.database), family.row, row, names)


def _move(client: WorkerClient, action: MoveTable) -> int:
    return client.move(action)

"""Takes away what a load left that failed or was killed: tables and runs on nodes, rows of the metadata database."""

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.inputs import Input
from ingest.nodes import Nodes
from ingest.staging import Staging, staged_database
from qserv.errors import IngestError, QservError
from qserv.failpoints import durable
from qserv.metadata import transactions
from qserv.metadata.engine import changing, connect
from qserv.metadata.registration import delete_table, delete_unused, table_state, unpublish
from schema.model import Database
from workers.client import WorkerClient
from workers.table_actions import DropRuns, DropTable


async def make_room(
    engine: AsyncEngine,
    nodes: Nodes,
    database: Database,
    inputs: Sequence[Input],
    *,
    replace: bool = False,
) -> Staging:
    """Make room for a load: remove hidden tables, and its own tables where nodes have them unknown to the metadata.

    Parameters
    ----------
    replace
        Whether it may replace published tables. They stay until it is done.

    Returns
    -------
    Staging
        Where the load makes its tables.

    Raises
    ------
    IngestError
        A table is published already, or cannot be replaced because a published table depends on it, or its director is not there.
    """
    async with connect(engine) as connection:
        published = await table_state(connection, database.name)
    wanted = {source.table.name for source in inputs}
    kept = {table for table, shown in published.items() if shown}
    if kept & wanted and not replace:
        msg = (
            f"table {database.name}.{min(kept & wanted)} is published already; `--replace` puts these rows in place of all its rows"
        )
        raise IngestError(msg)
    for source in inputs:
        for director, _ in source.table.directors:
            if director not in kept | wanted:
                msg = f"table {database.name}.{director} is not loaded, and {source.table.name} hangs on it: load it first"
                raise IngestError(msg)
    for table in database.tables:
        for director, _ in table.directors:
            if table.name in kept - wanted and director in wanted & kept:
                msg = f"table {database.name}.{director} cannot be replaced: {table.name} depends on it; load both together"
                raise IngestError(msg)
    await remove_hidden(engine, nodes, database.name)
    if kept & wanted:
        # All of them are staged, new ones as well: they are published together.
        return Staging(database.name, frozenset(wanted))
    await drop_tables(engine, nodes, database.name, sorted(wanted))
    return Staging(database.name)


async def withdraw(engine: AsyncEngine, nodes: Nodes, inputs: Iterable[Input], staging: Staging) -> None:
    """Take away what a load left that fails now, as far as the cluster answers; the next load takes away the rest."""
    with contextlib.suppress(QservError):
        await remove_hidden(engine, nodes, staging.database)
        if not staging.replaced:
            await drop_tables(engine, nodes, staging.database, [source.table.name for source in inputs])


async def clear_runs(engine: AsyncEngine, nodes: Nodes) -> None:
    """Delete the runs of transactions that have ended, as far as the cluster answers; the next load deletes the rest."""
    with contextlib.suppress(QservError):
        async with connect(engine) as connection:
            ended = await transactions.uncleared(connection)
        for transaction_id in ended:
            async with changing(engine, "ingest.runs.clear") as connection:
                # One that is asked for again under its name, and would send runs, waits until those of before are deleted.
                if await transactions.begin_to_clear(connection, transaction_id):
                    await nodes.call_all(partial(_drop_runs, transaction_id=transaction_id))
                    await transactions.clear(connection, transaction_id)


async def remove_hidden(engine: AsyncEngine, nodes: Nodes, database: str) -> None:
    """Remove what loads into a database began and did not publish."""
    for name in (staged_database(database), database):
        async with connect(engine) as connection:
            found = await table_state(connection, name)
        await drop_tables(engine, nodes, name, sorted(table for table, shown in found.items() if not shown))


async def drop_tables(engine: AsyncEngine, nodes: Nodes, database: str, tables: Sequence[str]) -> None:
    """Remove tables from users' sight, from all nodes, then from the metadata, which name them until nothing is left."""
    async with connect(engine) as connection:
        with durable("ingest.tables.hide"):
            await unpublish(connection, database, tables)
    for table in tables:
        await nodes.call_all(partial(_drop, database=database, table=table))
    async with changing(engine, "ingest.tables.forget") as connection:
        for table in tables:
            await delete_table(connection, database, table)
        await delete_unused(connection)


def _drop_runs(client: WorkerClient, transaction_id: int) -> None:
    client.drop_runs(DropRuns(transaction_id))


def _drop(client: WorkerClient, database: str, table: str) -> int:
    return client.drop(DropTable(database, table))

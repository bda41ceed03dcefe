"""Indexes of published tables: made and dropped on all nodes, while queries go on, then declared."""

import time
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.changes import change_tables
from ingest.nodes import connected_nodes
from ingest.provenance import Load
from ingest.publication import published_database
from ingest.report import LoadReport, ProgressCallback, Stage
from qserv.errors import IngestError, SchemaError
from qserv.metadata import transactions
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import declare_indexes, family_lock
from schema.ddl import indexes
from schema.model import Table
from schema.serialise import table_to_json
from workers.table_actions import IndexTable


@dataclass(frozen=True)
class IndexWish:
    """An index of a table that is to be made, or dropped."""

    table: str
    columns: tuple[str, ...]
    drop: bool


def indexed(table: Table, wish: IndexWish) -> Table:
    """Return a table with the indexes that it is to have.

    Raises
    ------
    SchemaError
        It has not one of the columns.
    IngestError
        It has not the index that is to be dropped, or always has it.
    """
    known = {column.name for column in table.columns}
    if unknown := [name for name in wish.columns if name not in known]:
        msg = f"table {table.name} has no column {unknown[0]!r} to index"
        raise SchemaError(msg)
    if not wish.drop:
        return table if wish.columns in table.indexes else replace(table, indexes=(*table.indexes, wish.columns))
    if wish.columns not in table.indexes:
        always = any(index.columns == wish.columns for index in indexes(table))
        why = "it belongs to the key, the position or a foreign key" if always else "there is none"
        msg = f"the index of table {table.name} on {', '.join(wish.columns)} cannot be dropped: {why}"
        raise IngestError(msg)
    return replace(table, indexes=tuple(columns for columns in table.indexes if columns != wish.columns))


async def index_table(engine: AsyncEngine, secret: str, wish: IndexWish, queued: Queued, progress: ProgressCallback) -> LoadReport:
    """Make or drop an index of a published table.

    Raises
    ------
    UnknownNameError
        There is no such table any more.
    IngestError
        There is no such index.
    StorageFullError, NodeUnavailableError, MetadataError
        From a part of the cluster. It can be done again.
    """
    started = time.monotonic()
    async with connect(engine) as connection:
        listed = await list_nodes(connection)
    async with family_lock(engine, queued.family), connected_nodes(listed, secret) as nodes:
        database = await published_database(engine, queued.database, wish.table)
        load = await Load.begin(engine, database, queued)
        try:
            table = indexed(database.by_name[wish.table], wish)
            action = IndexTable(database.name, table_to_json(table))
            await change_tables(nodes, lambda client: client.index(action), table.name, Stage.INDEXING, progress)
            async with changing(engine, "service.indexing.declare") as connection:
                await transactions.end(connection, load.transaction_id)
                version = await declare_indexes(connection, database.name, table.name, table.indexes)
        except BaseException as error:
            await load.abort(error)
            raise
    return LoadReport(database.name, (), 0, version, time.monotonic() - started, load.name)

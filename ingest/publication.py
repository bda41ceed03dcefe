"""The moment when loaded tables become visible: TAP_SCHEMA first, then one transaction of the metadata database.

TAP_SCHEMA is rewritten on every node, then the tables are shown. A load that is killed in between leaves tables described that
cannot be asked yet; the next load, whether it succeeds or fails, writes TAP_SCHEMA anew. The other order would show tables that no
client can find.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ingest.family import Family
from ingest.inputs import Input
from ingest.leftovers import drop_tables
from ingest.nodes import Nodes, all_or_first_error
from ingest.staging import Staging, staged_database
from partitioner.chunkmap import ChunkMap
from qserv.errors import LoadCancelledError, QservError, UnknownNameError
from qserv.failpoints import durable
from qserv.ids import REPLICATED_CHUNK
from qserv.metadata import registration, transactions
from qserv.metadata.catalogue import DatabaseRow, Json, TableRow, catalogue_version, load_catalogue
from qserv.metadata.columns import NewColumn, add_column
from qserv.metadata.engine import changing, connect
from qserv.metadata.transactions import TransactionState
from schema.model import Database, Table
from schema.serialise import column_from_json, column_to_json, table_from_json, table_to_json
from schema.tap_schema import NAME, TAP_SCHEMA, tap_schema_rows
from workers.client import WorkerClient
from workers.protocol import ChunkLoad
from workers.runs.statistics import Ranges
from workers.table_actions import PrepareTable


async def register(engine: AsyncEngine, family: Family, inputs: Sequence[Input], staging: Staging) -> dict[str, int]:
    """Write family, database and tables, hidden from users; return the ids of the tables by their names.

    A replacement is registered in a database, and a family, of its own: the family may be cut anew for it.
    """
    database, name = family.database, staging.database
    chunk_map, row = family.row, DatabaseRow(database.name, database.family, database.description, database.version)
    if staging.replaced:
        name = staged_database(database.name)
        chunk_map, row = replace(chunk_map, family=name), replace(row, database=name, family=name)
    async with changing(engine, "ingest.tables.register") as connection:
        await registration.register_family(connection, chunk_map)
        await registration.register_database(connection, row)
        limits = {source.table.ids for source in inputs if source.table.ids is not None}
        await registration.check_ids(connection, database.name, sorted(limits))
        return {
            source.table.name: await _register(connection, name, source.table, database.tables.index(source.table))
            for source in inputs
        }


async def publish(engine: AsyncEngine, nodes: Nodes, facts: Mapping[int, Json], transaction_id: int | None = None) -> int:
    """Show tables to users, with what was measured of each by its id, and commit their load; return the catalogue's version.

    Whoever publishes calls `describe_published` if this fails.
    """
    async with registration.family_lock(engine, NAME, wait=True):
        tap_schema = await _rewrite_tap_schema(engine, nodes, showing=set(facts))
        shown = {**facts, **{table_id: {} for table_id in tap_schema}}
        try:
            with durable("ingest.publish"):
                async with connect(engine) as connection:
                    return await registration.publish(connection, shown, transaction_id)
        except QservError:
            # An answer that is lost is not a commit that is lost.
            async with connect(engine) as connection:
                state = None if transaction_id is None else await transactions.state_of(connection, transaction_id)
                if state is not TransactionState.COMMITTED:
                    raise
                return await catalogue_version(connection)


async def show_column(engine: AsyncEngine, nodes: Nodes, new: NewColumn, transaction_id: int) -> int:
    """Show users a column that all nodes have, of some tables or none, and commit its addition; return the catalogue's version.

    Whoever shows it calls `describe_published` if this fails.

    Raises
    ------
    LoadCancelledError
        The addition was aborted.
    """
    async with registration.family_lock(engine, NAME, wait=True):
        await _rewrite_tap_schema(engine, nodes, showing=set(), new=new)
        async with changing(engine, "ingest.columns.show") as connection:
            if not await transactions.end(connection, transaction_id):
                msg = "it was aborted"
                raise LoadCancelledError(msg)
            return await add_column(connection, new)


async def describe_published(engine: AsyncEngine, nodes: Nodes) -> None:
    """Let TAP_SCHEMA describe what is published and nothing else, as far as the cluster answers.

    A TAP_SCHEMA that was never shown is removed: its first publication failed. What was to be published is withdrawn before this is
    called: where a disk is full, that makes the room to write in.
    """
    with contextlib.suppress(QservError):
        async with registration.family_lock(engine, NAME, wait=True):
            async with connect(engine) as connection:
                found = await registration.table_state(connection, NAME)
            if not all(found.values()):
                await drop_tables(engine, nodes, NAME, list(found))
            elif found:
                await _rewrite_tap_schema(engine, nodes, showing=set())


async def _rewrite_tap_schema(engine: AsyncEngine, nodes: Nodes, *, showing: set[int], new: NewColumn | None = None) -> list[int]:
    """Replace the rows of TAP_SCHEMA on every node; return the ids of its tables.

    Parameters
    ----------
    showing
        Tables described beside the published ones.
    new
        A column that is described beside those of its tables.
    """
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, unpublished=True)
    shown = [table for table in catalogue.tables if table.published or table.table_id in showing]
    if new is not None:
        shown = [row if _is_other(row, new) else replace(row, columns=(*row.columns, new.declaration)) for row in shown]
    rows = tap_schema_rows([described(database, shown) for database in catalogue.databases if _has_tables(database, shown)])
    known = {table.name: table.table_id for table in catalogue.tables if table.database == NAME}
    ids = [known[table.name] for table in TAP_SCHEMA.tables] if known else await _register_tap_schema(engine)
    await all_or_first_error(_replace(nodes, table, rows[table.name]) for table in TAP_SCHEMA.tables)
    async with changing(engine, "ingest.tap_schema.measure") as connection:
        for table_id, table in zip(ids, TAP_SCHEMA.tables, strict=True):
            ranges = Ranges(rows[table.name].schema)
            for batch in rows[table.name].to_batches():
                ranges.add(batch)
            chunk = registration.ChunkRecord(REPLICATED_CHUNK, ranges.rows, 0, nodes.names)
            statistics = [registration.StatisticsRecord(REPLICATED_CHUNK, *column) for column in ranges.statistics()]
            await registration.record_chunks(connection, table_id, [chunk], statistics)
    return ids


async def published_database(engine: AsyncEngine, name: str, table: str) -> Database:
    """Return a database with its published tables.

    Raises
    ------
    UnknownNameError
        It has no such table.
    """
    return await published_tables(engine, name, [table])


async def published_tables(engine: AsyncEngine, name: str, wanted: Iterable[str]) -> Database:
    """Return a database with its published tables.

    Raises
    ------
    UnknownNameError
        It has none, or not one of those that are wanted.
    """
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, beside=name, only=())
    tables = [row for row in catalogue.tables if row.database == name]
    if name == NAME or not tables:
        msg = f"there is no published database {name}"
        raise UnknownNameError(msg)
    if missing := sorted(set(wanted) - {row.name for row in tables}):
        msg = f"there is no published table {name}.{missing[0]}"
        raise UnknownNameError(msg)
    family = next(row.family for row in catalogue.databases if row.database == name)
    overlap_deg = next(row.overlap_deg for row in catalogue.families if row.family == family)
    return replace(described(next(row for row in catalogue.databases if row.database == name), tables), overlap_deg=overlap_deg)


def described(database: DatabaseRow, tables: list[TableRow]) -> Database:
    """Return a database as the metadata describe it, with these of its tables."""
    return Database(
        name=database.database,
        family=database.family,
        tables=tuple(
            table_from_json(table.declaration, map(column_from_json, table.columns))
            for table in tables
            if table.database == database.database
        ),
        description=database.description,
        version=database.version,
    )


def _is_other(row: TableRow, new: NewColumn) -> bool:
    return row.database != new.database or row.name not in new.tables


def _has_tables(database: DatabaseRow, tables: list[TableRow]) -> bool:
    return any(table.database == database.database for table in tables)


async def _register_tap_schema(engine: AsyncEngine) -> list[int]:
    # Nothing of it is cut, but every family has a map: the base pixels.
    family = Family(TAP_SCHEMA, ChunkMap.uniform(0))
    async with changing(engine, "ingest.tap_schema.register") as connection:
        await registration.register_family(connection, family.row)
        row = DatabaseRow(NAME, TAP_SCHEMA.family, TAP_SCHEMA.description, TAP_SCHEMA.version)
        await registration.register_database(connection, row)
        return [await _register(connection, NAME, table, place) for place, table in enumerate(TAP_SCHEMA.tables)]


async def _register(connection: AsyncConnection, database: str, table: Table, position: int) -> int:
    declaration = table_to_json(table, columns=False)
    return await registration.register_table(connection, database, declaration, list(map(column_to_json, table.columns)), position)


async def _replace(nodes: Nodes, table: Table, rows: pa.Table) -> None:
    """Replace a table of TAP_SCHEMA on every node, in one transaction each."""
    await nodes.call_all(partial(_load, table_to_json(table), rows))


def _load(declaration: Json, rows: pa.Table, client: WorkerClient) -> None:
    client.prepare(PrepareTable(NAME, declaration))
    client.load(ChunkLoad(NAME, declaration, None), rows.schema, rows.to_batches())

"""Writes what a load makes: databases and tables unpublished, their chunks and statistics, then all of them shown at once."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asyncpg import InterfaceError
from sqlalchemy import cast, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from qserv.errors import FamilyHeldError, IngestError
from qserv.ids import REPLICATED_CHUNK, ChunkId, NodeId
from qserv.metadata import tables, transactions
from qserv.metadata.catalogue import KEPT_CHANGES, DatabaseRow, FamilyRow, Json
from qserv.metadata.director_index import drop_index
from qserv.metadata.engine import asyncpg_connection, connect


@dataclass(frozen=True)
class ChunkRecord:
    """Rows of one table in one chunk, and the nodes that hold them."""

    chunk: ChunkId
    row_count: int
    overlap_row_count: int
    nodes: tuple[NodeId, ...]
    friends_deg: float | None = None
    """Of a director: rows that are not farther apart are in one group."""


@dataclass(frozen=True)
class StatisticsRecord:
    """Range of one column in one chunk; see `qserv.metadata.catalogue.ColumnStatistics`."""

    chunk: ChunkId
    column: str
    minimum: str | None
    maximum: str | None
    null_count: int
    has_nan: bool
    has_infinity: bool


@asynccontextmanager
async def family_lock(engine: AsyncEngine, family: str, *, wait: bool = False) -> AsyncIterator[None]:
    """Hold the right to load into a family. A killed load gives it up with its connection.

    Parameters
    ----------
    wait
        Wait for another load that holds it, rather than refuse.

    Raises
    ------
    FamilyHeldError
        Another load holds it.
    """
    key = func.hashtextextended("ingest:" + family, 0)
    async with connect(engine) as connection:
        if wait:
            await connection.execute(select(func.pg_advisory_lock(key)))
        elif not await connection.scalar(select(func.pg_try_advisory_lock(key))):
            msg = f"another load into family {family!r} is running; wait for its end, or stop it, then run this one again"
            raise FamilyHeldError(msg)
        await connection.commit()
        error: Exception | None = None
        try:
            yield
        except Exception as found:  # noqa: BLE001 (of the load: it must not be taken for one of this connection)
            error = found
        finally:
            try:
                await connection.execute(select(func.pg_advisory_unlock(key)))
                await connection.commit()
            except (DBAPIError, OSError, InterfaceError):
                # The connection is lost, and the right with it.
                await connection.invalidate()
    if error is not None:
        raise error


async def read_family(connection: AsyncConnection, family: str) -> FamilyRow | None:
    """Return a family's chunk map, or None where it has none yet."""
    row = (await connection.execute(select(tables.chunk_maps).where(tables.chunk_maps.c.family == family))).one_or_none()
    return None if row is None else FamilyRow(row.family, row.overlap_deg, tuple(sorted(row.chunks)))


async def family_is_cut(connection: AsyncConnection, family: str, besides: tuple[str, Sequence[str]] = ("", ())) -> bool:
    """Return whether a family has partitioned tables, published or not: then its chunk map must stay as it is.

    Parameters
    ----------
    besides
        Name of a database, and names of its tables that do not count because they are replaced.
    """
    database, names = besides
    partitioned = (
        select(tables.tables.c.table_id)
        .join(tables.databases, tables.databases.c.database == tables.tables.c.database)
        .where(
            tables.databases.c.family == family,
            tables.tables.c.declaration["role"].astext != "replicated",
            (tables.tables.c.database != database) | tables.tables.c.name.not_in(names),
        )
    )
    return bool(await connection.scalar(select(partitioned.exists())))


async def register_family(connection: AsyncConnection, family: FamilyRow) -> None:
    """Write the chunk map of a family, in place of the one that it had. See `family_is_cut`."""
    values = {"overlap_deg": family.overlap_deg, "chunks": list(family.chunks)}
    statement = upsert(tables.chunk_maps).values(family=family.family, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["family"], set_=values))


async def register_database(connection: AsyncConnection, database: DatabaseRow) -> None:
    """Write a database of a known family, or its new description and version.

    Raises
    ------
    IngestError
        The database is there already and belongs to another family, or an alias has its name.
    """
    found = (
        await connection.execute(select(tables.databases.c.family).where(tables.databases.c.database == database.database))
    ).scalar_one_or_none()
    if found is not None and found != database.family:
        msg = f"database {database.database!r} belongs to family {found!r}, not {database.family!r}: a database keeps its family"
        raise IngestError(msg)
    named = select(tables.aliases.c.alias).where(func.lower(tables.aliases.c.alias) == database.database.lower())
    if (await connection.execute(named)).first() is not None:
        msg = f"database {database.database!r}: an alias has this name; give it another one, or change the alias (`qserv alias`)"
        raise IngestError(msg)
    values = {"description": database.description, "version": database.version}
    statement = upsert(tables.databases).values(database=database.database, family=database.family, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["database"], set_=values))


async def check_ids(connection: AsyncConnection, database: str, limits: Iterable[tuple[int, int]]) -> None:
    """Refuse numbers for the keys of a database that are those of another one; within the caller's transaction, which writes them.

    Raises
    ------
    IngestError
        Another database has some of them.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("ids", 0))))
    ids = tables.tables.c.declaration["ids"]
    others = select(tables.tables.c.database, tables.tables.c.name, ids).where(
        tables.tables.c.database != database, ~tables.tables.c.database.startswith("~"), ids.is_not(None)
    )
    for other, table, (low, high) in (await connection.execute(others)).all():
        for first, last in limits:
            if first <= high and low <= last:
                msg = (
                    f"the numbers {first} to {last} (ids) of database {database!r} are not its own: table {other}.{table} has "
                    f"those from {low} to {high}; give it others in the partition file"
                )
                raise IngestError(msg)


async def register_table(
    connection: AsyncConnection,
    database: str,
    declaration: Json,
    columns: Sequence[Json],
    position: int,
) -> int:
    """Write an unpublished table and return its id.

    Parameters
    ----------
    declaration
        The table without its columns, as ``schema.serialise`` writes it; its ``name`` is the table's.
    columns
        The columns, likewise, in the table's order.
    position
        Where the table stands among those of its database.
    """
    table_id: int = (
        await connection.execute(
            insert(tables.tables)
            .values(database=database, name=declaration["name"], position=position, declaration=declaration)
            .returning(tables.tables.c.table_id),
        )
    ).scalar_one()
    await connection.execute(
        insert(tables.columns),
        [
            {"table_id": table_id, "name": column["name"], "position": place, "declaration": column}
            for place, column in enumerate(columns)
        ],
    )
    return table_id


async def table_state(connection: AsyncConnection, database: str) -> dict[str, bool]:
    """Return the names of a database's tables, and whether each is whole: published, or withheld from users."""
    column = tables.tables.c
    found = select(column.name, (column.published | column.withheld).label("whole")).where(column.database == database)
    return {row.name: row.whole for row in await connection.execute(found)}


async def table_ids(connection: AsyncConnection, database: str) -> dict[str, int]:
    """Return the numbers of a database's tables, by their names."""
    found = select(tables.tables.c.name, tables.tables.c.table_id).where(tables.tables.c.database == database)
    return {row.name: row.table_id for row in await connection.execute(found)}


async def read_declaration(connection: AsyncConnection, table_id: int) -> tuple[Json, list[Json]]:
    """Return a table as `register_table` was given it: without its columns, and these."""
    declared = select(tables.tables.c.declaration).where(tables.tables.c.table_id == table_id)
    column = tables.columns.c
    columns = select(column.declaration).where(column.table_id == table_id).order_by(column.position)
    return (await connection.execute(declared)).scalar_one(), list((await connection.execute(columns)).scalars())


async def delete_table(connection: AsyncConnection, database: str, name: str) -> None:
    """Forget a table: its columns, chunks, replicas, statistics and director index. Does nothing where it is not there."""
    await drop_index(connection, database, name)
    deleted = await connection.execute(
        delete(tables.tables)
        .where(tables.tables.c.database == database, tables.tables.c.name == name)
        .returning(tables.tables.c.published),
    )
    if deleted.scalar_one_or_none():
        await raise_version(connection)


async def delete_unused(connection: AsyncConnection) -> None:
    """Forget databases without tables, and chunk maps without databases, so that the next load may cut the sky anew."""
    with_tables = select(tables.tables.c.database)
    named = select(tables.aliases.c.database)
    unused = (tables.databases.c.database.not_in(with_tables), tables.databases.c.database.not_in(named))
    await connection.execute(delete(tables.databases).where(*unused))
    with_databases = select(tables.databases.c.family)
    await connection.execute(delete(tables.chunk_maps).where(tables.chunk_maps.c.family.not_in(with_databases)))


async def record_chunks(
    connection: AsyncConnection,
    table_id: int,
    chunks: Iterable[ChunkRecord],
    statistics: Iterable[StatisticsRecord],
) -> None:
    """Write where a table's rows are and the ranges of its columns, in place of what was there."""
    await connection.execute(delete(tables.chunks).where(tables.chunks.c.table_id == table_id))
    driver = await asyncpg_connection(connection)
    chunks = list(chunks)
    await driver.copy_records_to_table(
        "chunks",
        columns=("table_id", "chunk", "row_count", "overlap_row_count", "friends_deg"),
        records=((table_id, one.chunk, one.row_count, one.overlap_row_count, one.friends_deg) for one in chunks),
    )
    await driver.copy_records_to_table(
        "replicas",
        columns=("table_id", "chunk", "node_id"),
        records=((table_id, record.chunk, node) for record in chunks for node in record.nodes),
    )
    await driver.copy_records_to_table(
        "column_statistics",
        columns=("table_id", "chunk", "column_name", "minimum", "maximum", "null_count", "has_nan", "has_infinity"),
        records=(
            (table_id, row.chunk, row.column, row.minimum, row.maximum, row.null_count, row.has_nan, row.has_infinity)
            for row in statistics
        ),
    )


async def publish(connection: AsyncConnection, facts: Mapping[int, Json], transaction_id: int | None = None) -> int:
    """Show tables to users, all at once, and return the new version of the catalogue.

    Parameters
    ----------
    connection
        A connection without an open transaction; the change is committed here.
    facts
        What was measured of each table, by its id. These tables become published.
    transaction_id
        The load that is committed with this.
    """
    async with connection.begin():
        await write_facts(connection, facts)
        await connection.execute(
            update(tables.tables).where(tables.tables.c.table_id.in_(facts)).values(published=True, withheld=False)
        )
        if transaction_id is not None:
            await transactions.end(connection, transaction_id)
        return await raise_version(connection)


async def write_facts(connection: AsyncConnection, facts: Mapping[int, Json]) -> None:
    """Write what was measured of tables, by their ids."""
    for table_id, measured in facts.items():
        await connection.execute(update(tables.tables).where(tables.tables.c.table_id == table_id).values(facts=measured))


async def declare_indexes(connection: AsyncConnection, database: str, name: str, indexes: Sequence[Sequence[str]]) -> int:
    """Write which further indexes a table has; return the new version of the catalogue."""
    column = tables.tables.c
    listed = {"indexes": [list(columns) for columns in indexes]}
    declared = update(tables.tables).where(column.database == database, column.name == name)
    await connection.execute(declared.values(declaration=column.declaration.op("||")(cast(listed, JSONB))))
    return await raise_version(connection)


async def unpublish(connection: AsyncConnection, database: str, names: Sequence[str]) -> None:
    """Hide tables that are to go, at once; the change is committed here. Does nothing where they are hidden or not there."""
    column = tables.tables.c
    async with connection.begin():
        hidden = await connection.execute(
            update(tables.tables)
            .where(column.database == database, column.name.in_(names), column.published | column.withheld)
            .values(published=False, withheld=False)
            .returning(column.table_id),
        )
        if hidden.all():
            await raise_version(connection)


async def withhold(connection: AsyncConnection, database: str, names: Sequence[str], *, withheld: bool) -> None:
    """Withhold whole tables from users, or show them again; within the caller's transaction."""
    column = tables.tables.c
    before = column.published if withheld else column.withheld
    await connection.execute(
        update(tables.tables)
        .where(column.database == database, column.name.in_(names), before)
        .values(published=not withheld, withheld=withheld)
    )
    await raise_version(connection)


async def raise_version(connection: AsyncConnection) -> int:
    """Let every czar read the catalogue anew; return its new version."""
    column = tables.catalogue_version.c.version
    raised = update(tables.catalogue_version).values(version=column + 1, whole=column + 1).returning(column)
    version: int = (await connection.execute(raised)).scalar_one()
    await connection.execute(delete(tables.chunk_changes))
    return version


async def raise_version_of(connection: AsyncConnection, changed: Mapping[int, Iterable[ChunkId]]) -> int:
    """Let every czar read some chunks of tables anew, by their ids, and the facts of these tables; return the new version."""
    column = tables.catalogue_version.c.version
    raised = update(tables.catalogue_version).values(version=column + 1).returning(column)
    version: int = (await connection.execute(raised)).scalar_one()
    driver = await asyncpg_connection(connection)
    # No chunk of a partitioned table has that number: it stands for the facts alone.
    records = [(version, table_id, chunk) for table_id, chunks in changed.items() for chunk in {*chunks} or {REPLICATED_CHUNK}]
    await driver.copy_records_to_table("chunk_changes", columns=("version", "table_id", "chunk"), records=records)
    await connection.execute(delete(tables.chunk_changes).where(tables.chunk_changes.c.version <= version - KEPT_CHANGES))
    return version

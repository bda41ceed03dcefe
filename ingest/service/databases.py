"""Databases and tables, as they lie on the nodes, and their removal."""

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.leftovers import drop_tables
from ingest.nodes import connected_nodes
from ingest.publication import describe_published, described
from ingest.service.models import ChunkStatus, ColumnStatus, DatabaseStatus, TableStatistics, TableStatus
from qserv.errors import IngestError, UnknownNameError
from qserv.metadata.aliases import check_unnamed, drop_alias, list_aliases, set_alias
from qserv.metadata.catalogue import CatalogueRows, Json, TableRow, load_catalogue
from qserv.metadata.engine import changing, connect
from qserv.metadata.measured import ColumnRange, chunk_rows, column_ranges
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, withhold
from schema.check import TAKEN_NAMES
from schema.ddl import indexes
from schema.model import Table
from schema.serialise import column_from_json, table_from_json
from schema.tap_schema import NAME


class Databases:
    """The databases of a cluster. Every method raises `MetadataError` where the metadata database does not answer."""

    def __init__(self, engine: AsyncEngine, secret: str) -> None:
        self._engine, self._secret = engine, secret

    async def listed(self) -> list[DatabaseStatus]:
        """Return all databases, without TAP_SCHEMA, which describes them."""
        return _statuses(await self._catalogue())

    async def one(self, name: str) -> DatabaseStatus:
        """Return a database.

        Raises
        ------
        UnknownNameError
            There is none of the name.
        """
        found = _statuses(await self._catalogue())
        for database in found:
            if database.name == name:
                return database
        known = ", ".join(database.name for database in found)
        msg = f"there is no database {name}; there is {known}" if known else f"there is no database {name}, nor any other"
        raise UnknownNameError(msg)

    async def table(self, name: str, table: str) -> TableStatistics:
        """Return a table with the ranges of its columns.

        Raises
        ------
        UnknownNameError
            There is none of the name.
        """
        row = await self._row(name, table)
        datatypes = {column["name"]: column["datatype"] for column in row.columns}
        async with connect(self._engine) as connection:
            ranges = await column_ranges(connection, row.table_id, datatypes)
        none = ColumnRange(None, None, 0, has_nan=False, has_infinity=False)
        statistics = tuple(_column_status(column, ranges.get(column["name"], none)) for column in row.columns)
        return TableStatistics(**_status(row).model_dump(), statistics=statistics)

    async def chunks(self, name: str, table: str, after: int | None, limit: int) -> list[ChunkStatus]:
        """Return chunks in which a table has rows, those behind one.

        Raises
        ------
        UnknownNameError
            There is no table of the name.
        """
        row = await self._row(name, table)
        async with connect(self._engine) as connection:
            found = await chunk_rows(connection, row.table_id, after, limit)
        return [
            ChunkStatus(chunk=each.chunk, rows=each.row_count, overlap_rows=each.overlap_row_count, nodes=each.nodes)
            for each in found
        ]

    async def _row(self, name: str, table: str) -> TableRow:
        rows = [row for row in (await self._catalogue()).tables if row.database == name]
        for row in rows:
            if row.name == table:
                return row
        msg = f"there is no table {name}.{table}; {', '.join(row.name for row in rows) or 'nothing'} is in {name}"
        raise UnknownNameError(msg)

    async def aliases(self) -> dict[str, str]:
        """Return the databases that aliases mean, by these."""
        async with connect(self._engine) as connection:
            return dict(await list_aliases(connection))

    async def set_alias(self, alias: str, database: str) -> None:
        """Let a name mean a database, for all queries that begin from now on.

        Raises
        ------
        UnknownNameError
            There is no such database.
        IngestError
            A database has the name.
        """
        if alias.lower() in TAKEN_NAMES or alias.lower().startswith("pg_"):
            msg = f"the name {alias} is taken by PostgreSQL or by this software; choose another"
            raise IngestError(msg)
        async with changing(self._engine, "service.alias.set") as connection:
            await set_alias(connection, alias, database)

    async def drop_alias(self, alias: str) -> None:
        """Let a name mean nothing any more."""
        async with changing(self._engine, "service.alias.drop") as connection:
            await drop_alias(connection, alias)

    async def withhold(self, name: str, table: str | None, *, withheld: bool) -> DatabaseStatus:
        """Withhold a table of a database, or all of them, from users, or show them again; return the database.

        Raises
        ------
        UnknownNameError
            There is no such table.
        FamilyHeldError
            A load into the family runs.
        """
        catalogue = await self._catalogue()
        tables = [table] if table is not None else [row.name for row in catalogue.tables if row.database == name]
        for each in tables:
            await self._row(name, each)
        found = await self.one(name)
        async with connect(self._engine) as connection:
            nodes = await list_nodes(connection)
        async with family_lock(self._engine, found.family), connected_nodes(nodes, self._secret) as clients:
            async with changing(self._engine, "service.tables.withhold") as connection:
                await withhold(connection, name, tables, withheld=withheld)
            await describe_published(self._engine, clients)
        return await self.one(name)

    async def drop(self, name: str, table: str | None = None) -> None:
        """Delete a table of a database, or all of them, from users' sight, from all nodes, then from the metadata.

        Raises
        ------
        IngestError
            Another table depends on it.
        FamilyHeldError
            A load into the family runs.
        """
        catalogue = await self._catalogue()
        rows = [database for database in catalogue.databases if database.database == name]
        tables = [row for row in catalogue.tables if row.database == name]
        dropped = {row.name for row in tables if table is None or row.name == table}
        if name == NAME or not rows or not dropped:
            return
        declared = described(rows[0], tables).tables
        dropped |= {row.versions.history for row in declared if row.versions is not None and row.name in dropped}
        for row in declared:
            for director, _ in row.directors:
                if director in dropped and row.name not in dropped:
                    msg = f"table {name}.{director} cannot be deleted: {row.name} depends on it; delete {row.name} first"
                    raise IngestError(msg)
            if row.versions is not None and row.versions.history in dropped and row.name not in dropped:
                msg = (
                    f"table {name}.{row.versions.history} cannot be deleted: it has the former versions of {row.name}; delete both"
                )
                raise IngestError(msg)
        async with connect(self._engine) as connection:
            nodes = await list_nodes(connection)
            if len(dropped) == len(tables):
                await check_unnamed(connection, name)
        async with family_lock(self._engine, rows[0].family), connected_nodes(nodes, self._secret) as clients:
            await drop_tables(self._engine, clients, name, sorted(dropped))
            await describe_published(self._engine, clients)

    async def _catalogue(self) -> CatalogueRows:
        async with connect(self._engine) as connection:
            return await load_catalogue(connection, unpublished=True)


def _statuses(catalogue: CatalogueRows) -> list[DatabaseStatus]:
    return [
        DatabaseStatus(
            name=database.database,
            family=database.family,
            description=database.description,
            version=database.version,
            tables=tuple(_status(table) for table in catalogue.tables if table.database == database.database),
        )
        for database in catalogue.databases
        if database.database != NAME
    ]


def _status(table: TableRow) -> TableStatus:
    return TableStatus(
        name=table.name,
        role=table.declaration["role"],
        published=table.published,
        rows=sum(table.row_counts),
        overlap_rows=sum(table.overlap_row_counts),
        chunks=len(table.chunks),
        columns=len(table.columns),
        indexes=tuple(index.columns for index in indexes(_declared(table)) if set(index.columns) <= _names(table)),
    )


def _column_status(column: Json, found: ColumnRange) -> ColumnStatus:
    return ColumnStatus(
        name=column["name"],
        datatype=column["datatype"],
        unit=column.get("unit"),
        ucd=column.get("ucd"),
        optional=column.get("optional", False),
        default=column.get("default"),
        minimum=found.minimum,
        maximum=found.maximum,
        nulls=found.null_count,
        has_nan=found.has_nan,
        has_infinity=found.has_infinity,
    )


def _declared(table: TableRow) -> Table:
    return table_from_json(table.declaration, map(column_from_json, table.columns))


def _names(table: TableRow) -> set[str]:
    return {column["name"] for column in table.columns}

"""Everything a czar must know of the published databases, read in a few queries at one moment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.ids import ChunkId, NodeId, Segment
from qserv.metadata import tables
from qserv.metadata.nodes import Node, list_nodes

Json = dict[str, Any]
"""A JSON object of ``schema.serialise``, which this package may not import."""


KEPT_CHANGES = 1_000
"""Versions of which it is known what changed: a czar that has not read the catalogue for longer reads all of it."""


@dataclass(frozen=True)
class FamilyRow:
    """A family's chunk map: NUNIQ numbers of the pixels that tile the sphere, ascending. ``overlap_deg`` in degrees."""

    family: str
    overlap_deg: float
    chunks: tuple[ChunkId, ...]


@dataclass(frozen=True)
class DatabaseRow:
    """A database that has at least one table to show."""

    database: str
    family: str
    description: str
    version: str


@dataclass(frozen=True)
class ColumnStatistics:
    """Ranges of one column in the base rows of chunks: parallel tuples, ``chunks`` ascending.

    ``minimum`` and ``maximum`` are text as PostgreSQL reads it for the column's type. None means that the range is not known,
    unless ``null_count`` equals the chunk's row count: then there is no value at all. NaN is never in the range.
    """

    chunks: tuple[ChunkId, ...]
    minimum: tuple[str | None, ...]
    maximum: tuple[str | None, ...]
    null_count: tuple[int, ...]
    has_nan: tuple[bool, ...]
    has_infinity: tuple[bool, ...]


@dataclass(frozen=True)
class TableRow:
    """A table: declarations as JSON, and where its rows are.

    ``chunks`` ascend and have ``row_counts``, ``overlap_row_counts`` and ``friends_deg`` beside them;
    a chunk in which the table has neither rows nor overlap rows is absent. A replicated table has the one chunk `REPLICATED_CHUNK`.
    """

    table_id: int
    database: str
    name: str
    published: bool
    declaration: Json
    columns: tuple[Json, ...]
    facts: Json
    chunks: tuple[ChunkId, ...] = ()
    row_counts: tuple[int, ...] = ()
    overlap_row_counts: tuple[int, ...] = ()
    friends_deg: tuple[float | None, ...] = ()
    replicas: dict[ChunkId, tuple[NodeId, ...]] = field(default_factory=dict)
    segments: dict[ChunkId, tuple[Segment, ...]] = field(default_factory=dict)
    """Of chunks that have others than 0 alone."""
    statistics: dict[str, ColumnStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class CatalogueRows:
    """The metadata of one moment. ``version`` is raised with every change: a cache compares it with `catalogue_version`."""

    version: int
    nodes: tuple[Node, ...]
    families: tuple[FamilyRow, ...]
    databases: tuple[DatabaseRow, ...]
    tables: tuple[TableRow, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Databases by further names of theirs."""


@dataclass(frozen=True)
class CatalogueChanges:
    """Tables of which some chunks have changed: with these chunks alone, as they are with ``version``."""

    version: int
    tables: tuple[TableRow, ...]


async def catalogue_version(connection: AsyncConnection) -> int:
    """Return the version of the catalogue: one indexed row, cheap enough to ask for at every query."""
    version: int = (await connection.execute(select(tables.catalogue_version.c.version))).scalar_one()
    return version


async def load_catalogue(
    connection: AsyncConnection,
    *,
    unpublished: bool = False,
    statistics: bool = False,
    beside: str | None = None,
    only: Sequence[ChunkId] | None = None,
) -> CatalogueRows:
    """Read nodes, chunk maps, databases and tables, all as of one moment.

    Takes 2.5 s for 5,000 chunks of a table of 200 columns (1,000,000 statistics), most of it in PostgreSQL.

    Parameters
    ----------
    connection
        A connection without an open transaction.
    unpublished
        Whether tables that users do not see yet are returned too; ingest and the admin's tools ask for them.
    statistics
        Whether the ranges of columns are read, which most of the time is for; a czar asks for them.
    beside
        A database: only its family is read, as who appends a visit does not wait for what there is of the chunks of releases.
    only
        Chunks of which it is read what is known; default: all.
    """
    maps, shown = select(tables.chunk_maps), select(tables.tables).join(tables.databases)
    if beside is not None:
        own = select(tables.databases.c.family).where(tables.databases.c.database == beside).scalar_subquery()
        maps, shown = maps.where(tables.chunk_maps.c.family == own), shown.where(tables.databases.c.family == own)
    await connection.execution_options(isolation_level="REPEATABLE READ")
    async with connection.begin():
        version = await catalogue_version(connection)
        nodes = await list_nodes(connection)
        families = tuple(
            FamilyRow(row.family, row.overlap_deg, tuple(sorted(row.chunks)))
            for row in await connection.execute(maps.order_by(tables.chunk_maps.c.family))
        )
        shown = shown.order_by(tables.tables.c.database, tables.tables.c.position, tables.tables.c.table_id)
        if not unpublished:
            shown = shown.where(tables.tables.c.published)
        rows = (await connection.execute(shown)).all()
        found = await _table_rows(connection, rows, only, statistics=statistics)
        aliases = {
            row.alias: row.database for row in await connection.execute(select(tables.aliases).order_by(tables.aliases.c.alias))
        }
        named = {row.database for row in rows}
        databases = tuple(
            DatabaseRow(row.database, row.family, row.description, row.version)
            for row in await connection.execute(select(tables.databases).order_by(tables.databases.c.database))
            if row.database in named
        )
    return CatalogueRows(version=version, nodes=nodes, families=families, databases=databases, tables=found, aliases=aliases)


async def load_changes(connection: AsyncConnection, since: int) -> CatalogueChanges | None:
    """Read what has changed since a version of the catalogue; None if that is more than chunks of published tables.

    Parameters
    ----------
    connection
        A connection without an open transaction.
    """
    await connection.execution_options(isolation_level="REPEATABLE READ")
    async with connection.begin():
        versions = (await connection.execute(select(tables.catalogue_version))).one()
        if since < versions.whole or since < versions.version - KEPT_CHANGES:
            return None
        changed = tables.chunk_changes.c
        which = select(changed.table_id, changed.chunk).where(changed.version > since).distinct()
        found = (await connection.execute(which)).all()
        shown = select(tables.tables).where(
            tables.tables.c.table_id.in_({row.table_id for row in found}), tables.tables.c.published
        )
        rows = (await connection.execute(shown)).all()
        return CatalogueChanges(
            versions.version, await _table_rows(connection, rows, sorted({row.chunk for row in found}), statistics=True)
        )


async def _table_rows(
    connection: AsyncConnection, rows: Sequence[Row[Any]], only: Sequence[ChunkId] | None = None, *, statistics: bool
) -> tuple[TableRow, ...]:
    """Return tables with what is known of their chunks, or of some of these."""
    ids = [row.table_id for row in rows]
    columns = await _by_table(connection, _COLUMNS, ids, None)
    chunks = await _by_table(connection, _CHUNKS, ids, only)
    replicas = await _by_table(connection, _REPLICAS, ids, only)
    segments = await _by_table(connection, _SEGMENTS, ids, only)
    ranges = await _by_table(connection, _STATISTICS, ids if statistics else [], only)
    return tuple(
        TableRow(
            table_id=row.table_id,
            database=row.database,
            name=row.name,
            published=row.published,
            declaration=row.declaration,
            facts=row.facts,
            columns=tuple(column for found in columns[row.table_id] for column in found.declarations),
            chunks=tuple(chunk for found in chunks[row.table_id] for chunk in found.chunks),
            row_counts=tuple(count for found in chunks[row.table_id] for count in found.row_counts),
            overlap_row_counts=tuple(count for found in chunks[row.table_id] for count in found.overlap_row_counts),
            friends_deg=tuple(reach for found in chunks[row.table_id] for reach in found.friends_deg),
            replicas=_nodes_by_chunk(replicas[row.table_id]),
            segments=_segments(segments[row.table_id]),
            statistics={found.column_name: _column_statistics(found) for found in ranges[row.table_id]},
        )
        for row in rows
    )


# One row a table, or a table and column, with arrays: a million statistics travel as 200 rows of six arrays, not as a million rows.
_COLUMNS = """
    SELECT table_id, json_agg(declaration ORDER BY position) AS declarations
    FROM columns WHERE table_id = ANY(:ids) GROUP BY table_id"""
_CHUNKS = """
    SELECT table_id, array_agg(chunk) AS chunks, array_agg(row_count) AS row_counts,
           array_agg(overlap_row_count) AS overlap_row_counts, array_agg(friends_deg) AS friends_deg
    FROM (SELECT * FROM chunks WHERE table_id = ANY(:ids) /* only */ ORDER BY table_id, chunk) ordered GROUP BY table_id"""
_REPLICAS = """
    SELECT table_id, node_id, array_agg(chunk) AS chunks
    FROM replicas WHERE table_id = ANY(:ids) /* only */ GROUP BY table_id, node_id ORDER BY table_id, node_id"""
_SEGMENTS = """
    SELECT table_id, chunk, array_agg(segment ORDER BY segment) AS segments, array_agg(row_count ORDER BY segment) AS row_counts,
           array_agg(overlap_row_count ORDER BY segment) AS overlap_row_counts
    FROM segments WHERE table_id = ANY(:ids) AND replaced IS NULL /* only */ GROUP BY table_id, chunk ORDER BY table_id, chunk"""
_STATISTICS = """
    SELECT table_id, column_name, array_agg(chunk) AS chunks, array_agg(minimum) AS minimum, array_agg(maximum) AS maximum,
           array_agg(null_count) AS null_count, array_agg(has_nan) AS has_nan, array_agg(has_infinity) AS has_infinity
    FROM (SELECT * FROM column_statistics WHERE table_id = ANY(:ids) /* only */ ORDER BY table_id, chunk) in_key_order
    GROUP BY table_id, column_name"""


async def _by_table(
    connection: AsyncConnection, statement: str, ids: Sequence[int], only: Sequence[ChunkId] | None
) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    values: dict[str, Any] = {"ids": ids}
    if only is not None:
        statement, values = statement.replace("/* only */", "AND chunk = ANY(CAST(:only AS bigint[]))"), {**values, "only": only}
    for row in await connection.execute(text(statement), values):
        found[row.table_id].append(row)
    return found


def _nodes_by_chunk(rows: list[Row[Any]]) -> dict[ChunkId, tuple[NodeId, ...]]:
    nodes: dict[ChunkId, tuple[NodeId, ...]] = {}
    for row in rows:
        for chunk in row.chunks:
            nodes[chunk] = (*nodes.get(chunk, ()), NodeId(row.node_id))
    return nodes


def _segments(rows: list[Row[Any]]) -> dict[ChunkId, tuple[Segment, ...]]:
    return {row.chunk: tuple(map(Segment, row.segments, row.row_counts, row.overlap_row_counts)) for row in rows}


def _column_statistics(row: Row[Any]) -> ColumnStatistics:
    arrays: tuple[Any, ...] = (row.chunks, row.minimum, row.maximum, row.null_count, row.has_nan, row.has_infinity)
    # Rows come in the order of the primary key, which aggregation keeps unless PostgreSQL chose to sort.
    if any(before > after for before, after in pairwise(row.chunks)):
        arrays = tuple(zip(*sorted(zip(*arrays, strict=True), key=itemgetter(0)), strict=True))
    return ColumnStatistics(*map(tuple, arrays))

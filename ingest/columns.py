"""Columns that are added to published tables: made on all nodes while queries go on, then shown by one change of the metadata.

A node adds a column with a constant for the rows that are there, and writes none of them. Queries name the columns that they read,
so one that is there and is not shown disturbs nobody. An addition that is aborted may leave such ones: they are dropped when all
nodes answer, or by who adds another column.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.changes import change_tables
from ingest.constants import constant
from ingest.nodes import Nodes, connected_nodes
from ingest.provenance import Load
from ingest.publication import describe_published, published_database, show_column
from ingest.report import LoadReport, ProgressCallback, Stage
from qserv.errors import QservError, SchemaError
from qserv.metadata import transactions
from qserv.metadata.catalogue import load_catalogue
from qserv.metadata.columns import Aborted, NewColumn
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.measured import ColumnRange
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock
from schema.check import problems
from schema.felis_column import read_column
from schema.model import Column, Database, Table
from schema.serialise import column_from_json, column_to_json, table_from_json, table_to_json
from schema.types import arrow_type
from workers.client import WorkerClient
from workers.runs.statistics import Ranges, text_of
from workers.table_actions import AlterTable, TablesDone

DROP_S = 5.0
"""How long columns that were left are dropped at a time: what queries hold meanwhile is dropped the next time."""


@dataclass(frozen=True)
class ColumnWish:
    """A column that a table is to have."""

    table: str
    column: Column


def new_column(attributes: Mapping[str, Any], default: str | None) -> Column:
    """Return a column that can be added to rows.

    Parameters
    ----------
    attributes
        As a Felis file has them.
    default
        Its value in the rows that are there, and in those whose file does not have it; None is NULL.

    Raises
    ------
    SchemaError
        The default is no value of the column's type, or there is none and it must not be NULL; or an attribute is wrong.
    """
    column = replace(read_column(attributes), optional=True, default=default)
    value = constant(column)
    if not (value.is_valid or column.nullable):
        msg = f"column {column.name!r} is not nullable: give it a default, for the rows that are there"
        raise SchemaError(msg)
    return replace(column, default=text_of(value.as_py()) if value.is_valid else None)


def widened(database: Database, wish: ColumnWish) -> list[Table]:
    """Return a table of a database with the column that it is to have, and that of its former versions; none where it has it.

    Raises
    ------
    SchemaError
        It has another column of the name, or can have none of it.
    """
    table, column = database.by_name[wish.table], wish.column
    if table.by_name.get(column.name) == column:
        return []
    if column.name in table.by_name:
        msg = f"table {table.name} has a column {column.name!r} already, which is declared otherwise; give this one another name"
        raise SchemaError(msg)
    if table.is_history:
        msg = f"table {table.name} has the columns of {table.director}: add the column there"
        raise SchemaError(msg)
    names = {table.name, *([table.versions.history] if table.versions else ())}
    wide = {name: replace(each, columns=(*each.columns, column)) for name, each in database.by_name.items() if name in names}
    if missing := names - wide.keys():
        msg = f"table {missing.pop()}, with the former versions of {table.name}, is withheld; show it before (`qserv publish`)"
        raise SchemaError(msg)
    tables = tuple(wide.get(each.name, each) for each in database.tables)
    if found := set(problems(replace(database, tables=tables))) - set(problems(database)):
        raise SchemaError("; ".join(sorted(found)))
    return list(wide.values())


async def add_column(engine: AsyncEngine, secret: str, wish: ColumnWish, queued: Queued, progress: ProgressCallback) -> LoadReport:
    """Add a column to a published table. Does nothing where it has it.

    Raises
    ------
    UnknownNameError
        There is no such table any more.
    SchemaError
        The table has another column of the name by now.
    NodeUnavailableError, MetadataError, StorageFullError
        From a part of the cluster. It can be done again.
    """
    started = time.monotonic()
    async with connect(engine) as connection:
        listed = await list_nodes(connection)
    async with family_lock(engine, queued.family), connected_nodes(listed, secret) as nodes:
        database = await published_database(engine, queued.database, wish.table)
        load = await Load.begin(engine, database, queued)
        try:
            wide = widened(database, wish)
            for table in wide:
                change = partial(_add, action=AlterTable(database.name, table_to_json(table), wish.column.name))
                await change_tables(nodes, change, table.name, Stage.ADDING, progress)
            new = NewColumn(database.name, [table.name for table in wide], column_to_json(wish.column), _range(wish.column))
            version = await show_column(engine, nodes, new, load.transaction_id)
        except BaseException as error:
            if await load.abort(error):
                await describe_published(engine, nodes)
            raise
    return LoadReport(database.name, (), 0, version, time.monotonic() - started, load.name)


def _add(client: WorkerClient, action: AlterTable) -> Iterator[TablesDone]:
    return client.alter(action)


async def take_back(engine: AsyncEngine, nodes: Nodes, left: Iterable[Aborted]) -> None:
    """Drop columns that were to be added and were not, as far as the cluster answers and queries let it; the rest the next time."""
    for each in left:
        with suppress(QservError):
            async with family_lock(engine, each.family):
                await _take_back(engine, nodes, each)


async def _take_back(engine: AsyncEngine, nodes: Nodes, left: Aborted) -> None:
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, unpublished=True)
    found = [row for row in catalogue.tables if row.database == left.database]
    async with changing(engine, "ingest.columns.clear") as connection:
        if await transactions.begin_to_clear(connection, left.transaction_id):
            for row in found:
                table = table_from_json(row.declaration, map(column_from_json, row.columns))
                action = AlterTable(row.database, table_to_json(table), None)
                if not all(await nodes.call_all(partial(_drop_columns, action=action))):
                    return
            await transactions.clear(connection, left.transaction_id)


def _drop_columns(client: WorkerClient, action: AlterTable) -> bool:
    """Drop the columns of a table that are not declared; return whether that was done in time."""
    until_s = time.monotonic() + DROP_S
    return all(so_far.done == so_far.total or time.monotonic() < until_s for so_far in client.alter(action))


def _range(column: Column) -> ColumnRange:
    """Return the range of a column's default in one row."""
    schema = pa.schema([pa.field(column.name, arrow_type(column))])
    ranges = Ranges(schema)
    ranges.add(pa.RecordBatch.from_arrays([pa.repeat(constant(column), 1)], schema=schema))
    (found,) = ranges.statistics()
    return ColumnRange(found.minimum, found.maximum, found.null_count, has_nan=found.has_nan, has_infinity=found.has_infinity)

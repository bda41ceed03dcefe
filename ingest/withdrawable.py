"""What can be withdrawn: rows that nothing came of since."""

from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.moving import Moves
from ingest.newer import among
from ingest.places import BASE
from ingest.references import slot_safe
from ingest.withdrawn_rows import WithdrawnRows
from qserv.errors import IngestError
from qserv.ids import NULL_CHUNK
from qserv.metadata import rewrites
from qserv.metadata.director_index import has_moved
from qserv.metadata.engine import connect
from qserv.metadata.rewrites import Found
from qserv.metadata.transactions import TransactionState
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Table, TableRole


async def withdrawable(engine: AsyncEngine, name: str) -> Found:
    """Return a transaction whose rows can be taken away, as far as the metadata know.

    Raises
    ------
    NoSuchLoadError
        There is none of the name.
    IngestError
        It is not committed, or withdrawn already, or did not append.
    """
    async with connect(engine) as connection:
        found = await rewrites.find(connection, name)
    if found.state is not TransactionState.COMMITTED:
        msg = f"transaction {name} is {found.state}: only one that is committed can be withdrawn"
    elif found.withdrawn is not None:
        msg = f"transaction {name} was withdrawn at {found.withdrawn:%Y-%m-%d %H:%M:%S} UTC"
    elif not found.appended:
        msg = (
            f"{name} did not append rows to tables that are there, so it cannot be withdrawn; delete what it made, or load it anew"
        )
    else:
        return found
    raise IngestError(msg)


async def check_last(rows: WithdrawnRows) -> None:
    """Find out whether rows that are to go were followed by those of other transactions, or may have been.

    Raises
    ------
    IngestError
        They were; or rows may have come again, so that the rows before cannot go back.
    """
    for table in rows.database.tables:
        if table.versions is None or table.name not in rows.gone:
            continue
        history = rows.database.by_name[table.versions.history]
        places = rows.places(history.name, by=CONTRIBUTION_COLUMN, others=ENDED_COLUMN)
        async with connect(rows.engine) as connection:
            moved = await has_moved(connection, rows.name)
        chunks = places.keys() if moved else {one.chunk for one in rows.chunks[table.name]}
        former = {history.name: {chunk: place for chunk, place in places.items() if chunk in chunks}}
        found: list[str] = []
        key = ", ".join(f"CAST(source.{slot_safe(name)} AS text)" for name in table.version_key)
        template = f"SELECT concat_ws(', ', {key}) AS key FROM {{source}} AS source LIMIT 1"  # noqa: S608 (quoted)
        slots = {"source": (history, BASE)}
        await rows.measurement(former, former).ask(template, slots, partial(take_first, found))
        if found:
            row = f"{', '.join(table.version_key)} {min(found)}"
            others = "were followed by those of other transactions; withdraw these first"
            msg = f"rows of table {table.name}, such as {row}, {others}"
            raise IngestError(msg)
        await _check_withdrawn(rows, table)


async def _check_withdrawn(rows: WithdrawnRows, table: Table) -> None:
    """Refuse to take rows back that were withdrawn with a time, if some with their keys may have come since."""
    if table.versions is None or table.versions.withdrawn is None:
        return
    history, own = rows.database.by_name[table.versions.history], rows.is_of_target(CONTRIBUTION_COLUMN)
    places = {
        chunk: replace(place, base=f"(SELECT * FROM {place.base} AS rows WHERE {own})")  # noqa: S608 (quoted, and integers)
        for chunk, place in rows.places(history.name).items()
    }
    found: list[int] = []
    measurement = rows.measurement({history.name: places}, {history.name: places})
    await measurement.ask(
        "SELECT 1 AS one FROM {source} AS source LIMIT 1", {"source": (history, BASE)}, partial(take_first, found)
    )
    async with connect(rows.engine) as connection:
        since = partial(rewrites.appended_since, connection, version=rows.found.version or 0)
        later = [await since(rows.rows[each.name].table_id) for each in (table, history)]  # withdrawn rows are in the history alone
    if found and any(later):
        msg = f"rows of table {table.name} that it withdrew may have come again with later transactions; withdraw these first"
        raise IngestError(msg)


async def check_placed(rows: WithdrawnRows, table: Table, moves: Moves) -> None:
    """Find out whether rows of a dependent that have a position would be with an object that has none.

    Raises
    ------
    IngestError
        They would: no region leads there.
    """
    nowhere = moves.targets == NULL_CHUNK
    if table.role is not TableRole.DEPENDENT or table.ra is None or not nowhere.any():
        return
    found, there = list[int](), rows.places(table.name, staying=True)
    leaving = Moves(moves.keys[nowhere], moves.sources[nowhere], moves.targets[nowhere]).leaving
    places = {chunk: among(there[chunk], (str(table.director_key),), keys) for chunk, keys in leaving.items() if chunk in there}
    key, ra = slot_safe(table.director_key), slot_safe(table.ra)
    template = f"SELECT CAST(source.{key} AS bigint) AS key FROM {{source}} AS source WHERE source.{ra} IS NOT NULL LIMIT 1"  # noqa: S608 (quoted)
    measurement = rows.measurement({table.name: places}, {table.name: places})
    await measurement.ask(template, {"source": (table, BASE)}, partial(take_first, found))
    if found:
        msg = (
            f"rows of table {table.name} that came with other transactions have positions, and their row of {table.director}, "
            f"such as {table.director_key} {min(found)}, would have none; withdraw these transactions first"
        )
        raise IngestError(msg)


def take_first(found: list[Any], batch: pa.RecordBatch) -> None:
    """Gather the first column of answers."""
    found += batch.column(0).to_pylist()

"""Rows that are appended to published tables: unseen until one change of the metadata counts all of them.

They become segments of their chunks (`qserv.metadata.segments`): tables of their own on each node, made of runs that wait there.
A query that was planned before sees none of them, one that is planned afterwards all.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.building import BuiltTable, NewSegment
from ingest.family import Family
from ingest.making import Making
from ingest.moving import Ending, Moves, Moving, check_shown, find_moves
from ingest.nodes import Nodes
from ingest.places import places_of
from ingest.references import SEPARATION_FACT, Measurement
from ingest.replacing import Replacing
from ingest.sending import Placement
from ingest.superseding import Superseding
from ingest.table_change import Change, begin_segment
from qserv.errors import IngestError, LoadCancelledError, QservError
from qserv.ids import REPLICATED_CHUNK, ChunkId, NodeId
from qserv.metadata import merges, segments, transactions
from qserv.metadata.catalogue import CatalogueRows, Json, TableRow, catalogue_version, load_catalogue
from qserv.metadata.director_index import move_keys
from qserv.metadata.engine import changing, connect
from qserv.metadata.measured import column_nulls
from qserv.metadata.registration import raise_version_of, write_facts
from qserv.metadata.segments import BuildKind
from qserv.metadata.transactions import TransactionState
from schema.model import Database, Table, TableRole
from schema.physical import table_name
from schema.serialise import column_to_json
from workers.client import WorkerClient
from workers.runs.neighbours import NEAREST_FACT
from workers.table_actions import DropSegment

LARGE_CHUNK, LARGE_SEGMENT = ChunkId(16 * 4**12 - 1), 10**9 - 1
"""Of which names must not be too long; ours are shorter."""


async def append(making: Making, family: Family, rows: Mapping[str, int]) -> tuple[dict[str, BuiltTable], int]:
    """Make segments of what was taken, and count them; return what was made of each table, and the version that shows it.

    Parameters
    ----------
    rows
        How many were taken for each table.

    Raises
    ------
    IngestError
        A key is there already; or a column was added though this transaction held the family: the metadata database had lost it.
        Nothing is seen of the rows.
    StorageFullError, NodeUnavailableError, MetadataError
        From a part of the cluster. It can be done again.
    """
    database = family.database
    await clear_builds(making.engine, making.nodes, family.name)
    async with connect(making.engine) as connection:
        catalogue = await load_catalogue(connection, beside=database.name)
    known = {row.name: row for row in catalogue.tables if row.database == database.name}
    _check_columns(database, known)
    changes, moves = await _made(making, family, known, rows)
    facts = await _facts(making, database, known, list(changes.values()))
    try:
        async with changing(making.engine, "ingest.append.publish") as connection:
            for change in changes.values():
                await change.count(connection, making.load.transaction_id)
            await write_facts(connection, facts)
            if not await transactions.end(connection, making.load.transaction_id):
                msg = "the transaction was aborted"
                raise LoadCancelledError(msg)
            changed: dict[int, list[ChunkId]] = {table_id: [] for table_id in facts}
            changed |= {change.row.table_id: change.changed for change in changes.values()}
            version = await raise_version_of(connection, changed)
            for name, found in moves.items():
                if found:
                    await move_keys(connection, database.name, name, found.keys, found.targets, version)
            await merges.end_replaced(connection, version)
    except QservError:
        # An answer that is lost is not a commit that is lost.
        async with connect(making.engine) as connection:
            if await transactions.state_of(connection, making.load.transaction_id) is not TransactionState.COMMITTED:
                raise
            version = await catalogue_version(connection)
    return {name: change.sent.made for name, change in changes.items() if change.sent is not None}, version


def _check_columns(database: Database, known: Mapping[str, TableRow]) -> None:
    """Check that no column was added since the rows were taken."""
    for table in database.tables:
        if table.name in known and list(known[table.name].columns) != list(map(column_to_json, table.columns)):
            msg = f"table {table.name} has other columns than before; cancel this transaction, and send its files into a new one"
            raise IngestError(msg)


async def _made(
    making: Making, family: Family, known: Mapping[str, TableRow], rows: Mapping[str, int]
) -> tuple[dict[str, Change], dict[str, Moves | None]]:
    """Make segments of the rows of all tables, and what follows from them; return which rows of directors move, too."""
    database = family.database
    changes: dict[str, Change] = {}
    for table in database.tables:
        if taken := rows.get(table.name):
            changes[table.name] = Change(known[table.name], table)
            changes[table.name].send(await _built(making, family, changes[table.name], taken))
    for table in database.tables:
        if table.role is TableRole.DEPENDENT:
            await _replaced(making, family, known, changes, table)
    moves = {table.name: await _followed(making, family, known, changes, table) for table in database.tables if table.versions}
    changes = {name: change for name, change in changes.items() if change.steps}
    return changes, moves


async def _built(making: Making, family: Family, change: Change, rows: int) -> NewSegment:
    """Make a segment of the rows of a table."""
    async with changing(making.engine, "ingest.append.begin") as connection:
        number = await begin_segment(connection, family, change.row)
    return NewSegment(number, await making.built(change.table, change.row.table_id, rows, segment=number))


async def _replaced(
    making: Making, family: Family, known: Mapping[str, TableRow], changes: dict[str, Change], table: Table
) -> None:
    """Make what follows from new rows of a dependent with versions."""
    versions, history, change = table.versions, table.history, changes.get(table.name)
    if versions is not None and history is not None and change is not None and change.sent is not None:
        ended = changes.setdefault(history.name, Change(known[history.name], history))
        await Replacing(making, family, change, change.sent, ended).run(versions)


async def _followed(
    making: Making, family: Family, known: Mapping[str, TableRow], changes: dict[str, Change], table: Table
) -> Moves | None:
    """Make what follows from new rows of a director with versions; return which of its rows move."""
    versions, history, change = table.versions, table.history, changes.get(table.name)
    if table.role is TableRole.DEPENDENT or versions is None or history is None or change is None or change.sent is None:
        return None
    moves = await find_moves(making, family, table, change.new)
    if moves:
        await check_shown(making.engine, family.database, table)
    ending = await Ending.read(making, family, moves, change, versions) if moves else None
    ended = changes.setdefault(history.name, Change(known[history.name], history))
    await Superseding(making, family, change, change.sent, ended).run(versions, ending)
    for other in family.database.tables if moves else ():
        if other.role is TableRole.DEPENDENT and other.director == table.name:
            following = changes.setdefault(other.name, Change(known[other.name], other))
            await Moving(making, family, moves, following).run(ending if other.name == history.name else None)
    return moves


async def clear_builds(engine: AsyncEngine, nodes: Nodes, family: str, kind: BuildKind = BuildKind.APPEND) -> None:
    """Take away segments of tables of a family that do not count. The caller makes sure that nobody makes them now."""
    async with connect(engine) as connection:
        left = await segments.builds(connection, family, kind)
    for build in left:
        await nodes.call_all(partial(drop_segment, action=DropSegment(build.database, build.table_name, build.segment)))
        async with changing(engine, "ingest.append.clear") as connection:
            await segments.end_build(connection, build.segment)


def drop_segment(client: WorkerClient, action: DropSegment) -> int:
    """Drop the physical tables of a segment; return how many there were."""
    return client.drop_segment(action)


def placements(catalogue: CatalogueRows, database: Database, nodes: Nodes) -> dict[str, Placement]:
    """Return the nodes of the chunks of each table of a database: where it has rows, those that hold them.

    Where it has none, those that hold the chunk of all other tables of the family; else as many as its chunks have elsewhere.
    """
    databases = {row.database for row in catalogue.databases if row.family == database.family}
    of_family = [row for row in catalogue.tables if row.database in databases and REPLICATED_CHUNK not in row.replicas]
    together: dict[ChunkId, tuple[NodeId, ...]] = {}
    for row in of_family:
        for chunk, held in row.replicas.items():
            together[chunk] = tuple(node for node in together.get(chunk, held) if node in held)
    own = [row for row in of_family if row.database == database.name]
    most = max((len(held) for row in own for held in row.replicas.values()), default=1)
    found = {}
    for row in own:
        replicas = max(map(len, row.replicas.values()), default=most)
        found[row.name] = Placement(database.family, nodes, replicas, {**together, **row.replicas})
    return found


def check_appendable(database: Database, names: AbstractSet[str]) -> None:
    """Refuse tables to which rows cannot be appended so that all queries stay right.

    Raises
    ------
    IngestError
        The director of rows that were kept without one (``orphans: keep``) would get rows of their keys; or there are such rows to
        come; or names of segments would be too long.
    """
    for table in database.tables:
        if table.keeps_orphans and names & {table.name, str(table.director)}:
            msg = (
                f"table {table.name} keeps rows without a director (orphans: keep): nothing can be appended to it, nor to "
                f"{table.director}, of which it would then have rows; name other tables, or load both anew"
            )
            raise IngestError(msg)
        if table.name in names:
            table_name(table.name, LARGE_CHUNK if table.partitioned else None, overlap=table.partitioned, segment=LARGE_SEGMENT)


async def _facts(making: Making, database: Database, known: Mapping[str, TableRow], changes: Sequence[Change]) -> dict[int, Json]:
    """Return the facts, by their ids, of tables that were appended to, and of those that refer to them.

    Raises
    ------
    IngestError
        A key is there already.
    """
    new = {change.table.name: change.new for change in changes}
    before = {name: places_of(row) for name, row in known.items()}
    after = before | {
        change.table.name: before[change.table.name] | {chunk: change.place(chunk) for chunk in change.changed}
        for change in changes
    }
    facts: dict[str, Json] = {}
    for change in changes:
        name, own = change.table.name, {}
        if change.sent is not None:
            own = change.sent.made.facts
        await Measurement(making.engine, making.nodes, database, making.staging, before, new).check_keys(change.table)
        measured = await Measurement(making.engine, making.nodes, database, making.staging, after, new).facts(change.table)
        facts[name] = _joined(change.row, measured | own)
    for table in database.tables:
        row = known.get(table.name)
        doubtful = await _doubtful(making.engine, table, row, new) if row is not None else set()
        if row is not None and doubtful:
            own = facts.get(table.name, row.facts)
            doubted = {
                name: {**fact, "complete": fact["complete"] and name not in doubtful} for name, fact in own["references"].items()
            }
            facts[table.name] = own | {"references": doubted}
    return {known[name].table_id: found for name, found in facts.items()}


async def _doubtful(engine: AsyncEngine, table: Table, row: TableRow, new: Collection[str]) -> set[str]:
    """Return the foreign keys by which rows of before may refer to rows that were appended just now elsewhere.

    Those that referred to a row that was not there may.
    """
    references, found = row.facts.get("references", {}), set()
    for key in table.foreign_keys:
        if key.target_table in new and key.name in references:
            async with connect(engine) as connection:
                nulls = await column_nulls(connection, row.table_id, key.columns[0])
            if nulls is None or sum(row.row_counts) - nulls > references[key.name]["total"]:
                found.add(key.name)
    return found


def _joined(row: TableRow, new: Json) -> Json:
    """Return what holds of the rows of a table and of new ones: what is known of both."""
    if not any(row.row_counts):
        return new
    both = {name: _JOINED[name](row.facts[name], new[name]) for name in _JOINED if name in row.facts and name in new}
    if not both.get("pairs", _COMPLETE)["complete"]:
        both.pop(SEPARATION_FACT, None)
    return {name: fact for name, fact in row.facts.items() if name not in _JOINED} | both


def _counted(known: Json, new: Json) -> Json:
    return {
        "complete": known["complete"] and new["complete"],
        **{name: known[name] + new[name] for name in ("local", "total")},
    }


_COMPLETE: Json = {"complete": True}

_JOINED: Mapping[str, Callable[[Any, Any], Any]] = {
    NEAREST_FACT: min,
    SEPARATION_FACT: max,
    "pairs": _counted,
    "references": lambda known, new: {name: _counted(known[name], new[name]) for name in known.keys() & new.keys()},
}
"""How what is known of rows is put together with what is known of others, by the name of the fact."""

"""Rows that are appended to published tables: unseen until one change of the metadata counts all of them.

They become segments of their chunks (`qserv.metadata.segments`): tables of their own on each node, made of runs that wait there.
A query that was planned before sees none of them, one that is planned afterwards all.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.building import BuiltTable
from ingest.family import Family
from ingest.making import Making
from ingest.nodes import Nodes
from ingest.places import Place, places_of, segments_of
from ingest.references import Measurement
from ingest.sending import Placement
from ingest.superseding import Superseded, Superseding
from qserv.errors import IngestError, LoadCancelledError, QservError
from qserv.ids import REPLICATED_CHUNK, ChunkId, NodeId, Segment
from qserv.metadata import merges, rewrites, segments, transactions
from qserv.metadata.catalogue import CatalogueRows, Json, TableRow, catalogue_version, load_catalogue
from qserv.metadata.engine import changing, connect
from qserv.metadata.measured import column_nulls
from qserv.metadata.registration import ChunkRecord, raise_version_of, write_facts
from qserv.metadata.segments import Appended, BuildKind
from qserv.metadata.transactions import TransactionState
from schema.model import Database, Table
from schema.physical import table_name
from schema.serialise import column_to_json
from workers.client import WorkerClient
from workers.protocol import DropSegment
from workers.runs.neighbours import NEAREST_FACT

LARGE_CHUNK, LARGE_SEGMENT = ChunkId(16 * 4**12 - 1), 10**9 - 1
"""Of which names must not be too long; ours are shorter."""


@dataclass(frozen=True)
class _Built:
    """Rows of a table that are on the nodes, and not counted."""

    row: TableRow
    table: Table
    segment: int
    made: BuiltTable
    followed: Superseded | None = None
    """What stands for chunks in which they follow others."""

    @property
    def places(self) -> dict[ChunkId, Place]:
        """Where they are."""
        return {one.chunk: Place.of(self.row, one.chunk, one.nodes, [self._added(one)]) for one in self.made.chunks}

    @property
    def places_after(self) -> dict[ChunkId, Place]:
        """Where they and the rows of before are, of chunks that have some of them."""
        before = segments_of(self.row)
        added = {
            one.chunk: Place.of(self.row, one.chunk, one.nodes, [*before.get(one.chunk, ()), self._added(one)])
            for one in self.made.chunks
        }
        anew = [(each.record, self.followed.number) for each in self.followed.chunks] if self.followed else []
        return added | {one.chunk: Place.of(self.row, one.chunk, one.nodes, [_segment(number, one)]) for one, number in anew}

    @property
    def changed(self) -> list[ChunkId]:
        """Chunks that are not as they were."""
        followed = [each.record.chunk for each in self.followed.chunks] if self.followed else []
        return sorted({*(one.chunk for one in self.made.chunks), *followed})

    def _added(self, one: ChunkRecord) -> Segment:
        return _segment(self.segment, one)


def _segment(number: int, one: ChunkRecord) -> Segment:
    return Segment(number, one.row_count, one.overlap_row_count)


async def append(making: Making, family: Family, rows: Mapping[str, int]) -> tuple[dict[str, BuiltTable], int]:
    """Make segments of what was taken, and count them; return what was made of each table, and the version that shows it.

    Parameters
    ----------
    rows
        How many were taken for each table.

    Raises
    ------
    IngestError
        A key is there already. Nothing is seen of the rows.
    StorageFullError, NodeUnavailableError, MetadataError
        From a part of the cluster. It can be done again.
    """
    database = family.database
    await clear_builds(making.engine, making.nodes, family.name)
    async with connect(making.engine) as connection:
        catalogue = await load_catalogue(connection)
    known = {row.name: row for row in catalogue.tables if row.database == database.name}
    built = [
        one
        for table in database.tables
        if rows.get(table.name)
        for one in await _build(making, family, known, table, rows[table.name])
    ]
    facts = await _facts(making, database, known, built)
    try:
        async with changing(making.engine, "ingest.append.publish") as connection:
            for one in built:
                datatypes = {column.name: column_to_json(column)["datatype"] for column in one.table.columns}
                added = Appended(one.row.table_id, one.segment, one.made.chunks, one.made.statistics, datatypes)
                await segments.append(connection, added, making.load.transaction_id)
                if one.followed is not None:
                    await rewrites.rewrite(connection, one.row.table_id, one.followed.number, one.followed.chunks)
                    await segments.end_build(connection, one.followed.number)
            await write_facts(connection, facts)
            if not await transactions.end(connection, making.load.transaction_id):
                msg = "the transaction was aborted"
                raise LoadCancelledError(msg)
            changed: dict[int, list[ChunkId]] = {table_id: [] for table_id in facts}
            changed |= {one.row.table_id: one.changed for one in built}
            version = await raise_version_of(connection, changed)
            await merges.end_replaced(connection, version)
    except QservError:
        # An answer that is lost is not a commit that is lost.
        async with connect(making.engine) as connection:
            if await transactions.state_of(connection, making.load.transaction_id) is not TransactionState.COMMITTED:
                raise
            version = await catalogue_version(connection)
    return {one.table.name: one.made for one in built}, version


async def _build(making: Making, family: Family, known: Mapping[str, TableRow], table: Table, rows: int) -> list[_Built]:
    """Make a segment of the rows of a table, and what follows from it."""
    row = known[table.name]
    async with changing(making.engine, "ingest.append.begin") as connection:
        segment = await segments.begin_build(connection, family.name, row.database, row.name, BuildKind.APPEND)
    one = _Built(row, table, segment, await making.built(table, row.table_id, rows, segment=segment))
    if table.versions is None or table.history is None:
        return [one]
    records = {each.chunk: each for each in one.made.chunks}
    done = await Superseding(making, family, table, row, segment, places_of(row), one.places, records).run(
        table.versions, table.history
    )
    if done is None:
        return [one]
    return [replace(one, followed=done), _Built(known[table.history.name], table.history, done.history_number, done.history)]


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


async def _facts(making: Making, database: Database, known: Mapping[str, TableRow], built: Sequence[_Built]) -> dict[int, Json]:
    """Return the facts, by their ids, of tables that were appended to, and of those that refer to them.

    Raises
    ------
    IngestError
        A key is there already.
    """
    new = {one.table.name: one.places for one in built}
    before = {name: places_of(row) for name, row in known.items()}
    after = before | {one.table.name: before[one.table.name] | one.places_after for one in built}
    facts: dict[str, Json] = {}
    for one in built:
        await Measurement(making.engine, making.nodes, database, making.staging, before, new).check_keys(one.table)
        measured = await Measurement(making.engine, making.nodes, database, making.staging, after, new).facts(one.table)
        facts[one.table.name] = _joined(one.row, measured | one.made.facts)
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
        both.pop("max_separation_deg", None)
    return {name: fact for name, fact in row.facts.items() if name not in _JOINED} | both


def _counted(known: Json, new: Json) -> Json:
    return {
        "complete": known["complete"] and new["complete"],
        **{name: known[name] + new[name] for name in ("local", "total")},
    }


_COMPLETE: Json = {"complete": True}

_JOINED: Mapping[str, Callable[[Any, Any], Any]] = {
    NEAREST_FACT: min,
    "max_separation_deg": max,
    "pairs": _counted,
    "references": lambda known, new: {name: _counted(known[name], new[name]) for name in known.keys() & new.keys()},
}
"""How what is known of rows is put together with what is known of others, by the name of the fact."""

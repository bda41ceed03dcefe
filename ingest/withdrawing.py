"""A committed transaction is taken back: chunks are written anew without its rows, all at once as far as users see.

Which rows these are say their contributions, whatever segments they are in by now. A row that stays must not refer to one that
goes.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import clear_builds, placements
from ingest.building import NewSegment
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.moving import NONE, Moves, Moving
from ingest.nodes import connected_nodes
from ingest.places import BASE, places_of
from ingest.provenance import Load
from ingest.references import SEPARATION_FACT, slot_safe
from ingest.regrouping import Regrouping
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.restoring import Restoring
from ingest.rewriting import Rewrite, written_anew
from ingest.sending import Placement
from ingest.staging import Staging
from ingest.table_change import Change, Leaving, begin_segment
from ingest.withdrawable import check_last, check_placed, withdrawable
from ingest.withdrawn_rows import WithdrawnRows, gone_by
from partitioner.chunkmap import ChunkMap
from qserv.errors import IngestError, LoadCancelledError, QservError
from qserv.ids import ChunkId
from qserv.metadata import contributions, merges, rewrites, transactions
from qserv.metadata.catalogue import Json, catalogue_version, load_catalogue
from qserv.metadata.contributions import ContributionState
from qserv.metadata.director_index import Int64, forget_keys, forget_pending, move_keys, moved_with, pend_keys, pending_among
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, raise_version_of, read_family, write_facts
from qserv.metadata.transactions import TransactionState
from schema.model import CONTRIBUTION_COLUMN, Database, Table, TableRole


async def withdraw(engine: AsyncEngine, secret: str, queued: Queued, progress: ProgressCallback) -> LoadReport:
    """Take the rows of a committed transaction away.

    Raises
    ------
    IngestError
        It cannot be withdrawn; or rows that stay refer to rows that would go.
    StorageFullError, NodeUnavailableError, MetadataError
        From a part of the cluster. It can be done again.
    """
    started = time.monotonic()
    asked = (queued.request or {})["asked"]["transaction"]
    async with connect(engine) as connection:
        listed = await list_nodes(connection)
    async with family_lock(engine, queued.family), connected_nodes(listed, secret) as nodes:
        found = await withdrawable(engine, asked)
        load = await Load.begin(engine, Database(queued.database, queued.family, ()), queued)
        try:
            await clear_builds(engine, nodes, queued.family)
            async with connect(engine) as connection:
                catalogue = await load_catalogue(connection, unpublished=True, beside=queued.database)
                touched = await rewrites.appended(connection, found.transaction_id)
                sent = await contributions.of_transaction(connection, found.transaction_id)
                family = await read_family(connection, queued.family)
            chunk_map = ChunkMap.from_nuniq(family.chunks if family else ())
            work = _Withdrawal(
                engine=engine,
                nodes=nodes,
                found=found,
                catalogue=catalogue,
                name=queued.database,
                touched=touched,
                sent=sent,
                load=load,
                chunk_map=chunk_map,
                progress=progress,
            )
            version = await work.run()
        except BaseException as error:
            await load.abort(error)
            raise
    seconds = time.monotonic() - started
    reports = tuple(TableReport(name, rows, near, chunks, seconds, ()) for name, (rows, near, chunks) in work.gone.items())
    return LoadReport(queued.database, reports, 0, version, seconds, load.name)


@dataclass(frozen=True, kw_only=True)
class _Withdrawal(WithdrawnRows):
    """Rows of a transaction that are to go, by another one, ``load``."""

    load: Load
    chunk_map: ChunkMap
    progress: ProgressCallback

    @cached_property
    def making(self) -> Making:
        """What makes segments."""
        placed, others = placements(self.catalogue, self.database, self.nodes), Placement(self.database.family, self.nodes, 1)
        return Making(self.engine, self.nodes, Staging(self.name), self.load, others, self.progress, placed)

    @cached_property
    def family(self) -> Family:
        """The family of the database."""
        return Family(self.database, self.chunk_map)

    async def run(self) -> int:
        """Take the rows away; return the version of the catalogue that does not show them."""
        await check_last(self)
        await self._pend_keys()
        await self._check_references()
        moves = {name: await self._moved_back(name) for name in self.gone if self.database.by_name[name].role is TableRole.DIRECTOR}
        following = [(table, moves.get(table.director or table.name, NONE)) for table in self.database.tables]
        for table, found in following:
            await check_placed(self, table, found)
        made = [await self._changed(table, found) for table, found in following]
        changes = {change.table.name: change for change in made if change.steps}
        facts = await self._facts(changes)
        try:
            async with changing(self.engine, "ingest.withdraw.publish") as connection:
                for change in changes.values():
                    await change.count(connection, self.load.transaction_id)
                await write_facts(connection, facts)
                await rewrites.withdraw(connection, self.found.transaction_id)
                if not await transactions.end(connection, self.load.transaction_id):
                    msg = "it was aborted meanwhile"
                    raise LoadCancelledError(msg)
                changed: dict[int, list[ChunkId]] = {table_id: [] for table_id in facts}
                changed |= {change.row.table_id: change.changed for change in changes.values()}
                version = await raise_version_of(connection, changed)
                for name, found in moves.items():
                    if found:
                        await move_keys(connection, self.name, name, found.keys, found.targets, version)
                await forget_keys(connection, self.found.transaction_id, version)
                await forget_pending(connection, self.found.transaction_id)
                await merges.end_replaced(connection, version)
        except QservError:
            # An answer that is lost is not a commit that is lost.
            async with connect(self.engine) as connection:
                if await transactions.state_of(connection, self.load.transaction_id) is not TransactionState.COMMITTED:
                    raise
                version = await catalogue_version(connection)
        return version

    async def _moved_back(self, name: str) -> Moves:
        """Return which objects of a director go back to the chunks where they were before."""
        async with connect(self.engine) as connection:
            keys, former = await moved_with(connection, self.name, name, self.found.version or 0)
        chunks, _ = await Directors(self.engine, Staging(self.name)).find(name, pa.array(keys))
        return Moves(keys, chunks, former)

    async def _changed(self, table: Table, moves: Moves) -> Change:
        """Make what becomes of a table: without the rows, with those before them, with all rows of objects where these will be."""
        change = Change(self.rows[table.name], table)
        gathered = Regrouping(self.making, table, change.row.table_id)
        leaving = Leaving(change, self.family, (str(table.director_key),))
        if moves and table.role is TableRole.DEPENDENT:
            await Moving(self.making, self.family, moves, change).gather(gathered, leaving, self.places(table.name, staying=True))
        if table.versions is not None and table.name in self.gone:
            history = self.database.by_name[table.versions.history]
            restoring = Restoring(self.making, self.family, change, moves, (self.found.version or 0) - 1)
            ended = self.places(history.name, others=CONTRIBUTION_COLUMN)
            await restoring.gather(gathered, table.versions, history, ended)
        if gathered.rows:
            async with changing(self.engine, "ingest.withdraw.restore") as connection:
                number = await begin_segment(connection, self.family, change.row)
            change.add(NewSegment(number, await gathered.made(number)))
        gone = {one.chunk: (one.row_count, one.overlap_row_count) for one in self.chunks.get(table.name, ())}
        chunks = sorted({*gone, *leaving.chunks, *change.new})
        if chunks:
            async with changing(self.engine, "ingest.withdraw.begin") as connection:
                number = await begin_segment(connection, self.family, change.row)
            wanted = [self._rewrite(leaving.rewrite(chunk), *gone.get(chunk, (0, 0)), change) for chunk in chunks]
            change.stand(await written_anew(self.nodes, wanted, number, partial(self._tell, table.name, len(wanted))))
        return change

    def _rewrite(self, leaving: Rewrite, rows: int, overlap_rows: int, change: Change) -> Rewrite:
        """Return how a chunk is written anew without rows that go, beside those that leave it."""
        return replace(
            leaving,
            rows=leaving.rows + rows,
            overlap_rows=leaving.overlap_rows + overlap_rows,
            without=[*leaving.without, {gone_by(change.table): self.numbers}],
            fresh=[step.number for step in change.steps],
        )

    def _tell(self, table: str, total: int, done: int) -> None:
        self.progress(Progress(table, Stage.BUILDING, done, total))

    async def _check_references(self) -> None:
        """Find out whether rows that stay belong to rows of directors that go.

        Raises
        ------
        IngestError
            They do.
        """
        for table in self.database.tables:
            for director, key in table.directors:
                if director in self.gone:
                    await self._check_reference(table, self.database.by_name[director], key)

    async def _check_reference(self, table: Table, director: Table, key: str) -> None:
        going, staying = self.places(director.name, staying=False), self.places(table.name, staying=True)
        column, director_key = slot_safe(key), slot_safe(director.director_key)
        template = f"SELECT DISTINCT CAST(source.{column} AS bigint) AS key FROM {{source}} AS source"  # noqa: S608 (quoted)
        slots = {"source": (table, BASE)}
        if table.role is not TableRole.REF_MATCH:  # the rows of a pair may be far apart
            chunks = {one.chunk for one in self.chunks[director.name]}
            staying = {chunk: place for chunk, place in staying.items() if chunk in chunks}
            slots["target"] = (director, BASE)
            template += f" WHERE source.{column} IN (SELECT {director_key} FROM {{target}} AS target) LIMIT 1"  # noqa: S608 (as above)
        loop, found = asyncio.get_running_loop(), list[int]()

        def take(batch: pa.RecordBatch) -> None:
            keys = batch.column(0).drop_null().to_numpy()
            if not found:
                found.extend(asyncio.run_coroutine_threadsafe(self._pended(director.name, keys), loop).result())

        measurement = self.measurement({director.name: going, table.name: staying}, {table.name: staying})
        await measurement.ask(template, slots, take)
        if found:
            msg = (
                f"rows of table {table.name} that came with other transactions refer to rows of {director.name} that would go, "
                f"such as {key} {min(found)}; withdraw these transactions first"
            )
            raise IngestError(msg)

    async def _pend_keys(self) -> None:
        """Write down the keys of directors' rows that go, for their index."""
        async with changing(self.engine, "ingest.withdraw.clear") as connection:
            await forget_pending(connection, self.found.transaction_id)
        loop = asyncio.get_running_loop()
        for table in self.database.tables:
            if table.role is not TableRole.DIRECTOR or table.name not in self.gone:
                continue
            number = self._number_of(table.name)
            key = slot_safe(table.director_key)
            template = f"SELECT CAST(source.{key} AS bigint) AS key FROM {{source}} AS source"  # noqa: S608 (as above)

            def pend(batch: pa.RecordBatch, number: int = number) -> None:
                keys = batch.column(0).to_numpy()
                asyncio.run_coroutine_threadsafe(self._pend(number, keys), loop).result()

            chunks = {one.chunk for one in self.chunks[table.name] if one.row_count}
            going = {chunk: place for chunk, place in self.places(table.name, staying=False).items() if chunk in chunks}
            await self.measurement({table.name: going}, {table.name: going}).ask(template, {"source": (table, BASE)}, pend)

    def _number_of(self, table: str) -> int:
        """Return the contribution under which all keys of a director are kept that go."""
        done = (file for file in self.sent if file.table_name == table and file.state is ContributionState.DONE)
        return next(file.contribution_id for file in done)

    async def _pended(self, director: str, keys: Int64) -> list[int]:
        """Return one of the keys that goes, if any does."""
        async with connect(self.engine) as connection:
            return await pending_among(connection, self._number_of(director), keys)

    async def _pend(self, number: int, keys: Int64) -> None:
        async with changing(self.engine, "ingest.withdraw.keys") as connection:
            await pend_keys(connection, number, keys, np.zeros(len(keys), np.int64))

    async def _facts(self, changes: Mapping[str, Change]) -> dict[int, Json]:
        """Return the facts, by their ids, of tables that are other than before, and of those that refer to them."""
        after = {name: places_of(row) for name, row in self.rows.items()}
        for name, change in changes.items():
            after[name] |= {chunk: change.place(chunk) for chunk in change.changed}
        measurement, facts = self.measurement(after, after), {}
        for table in self.database.tables:
            row, changed = self.rows[table.name], changes.get(table.name)
            counts = {"references", "pairs"} & row.facts.keys()
            named = {table.name, *(key.target_table for key in table.foreign_keys), *(name for name, _ in table.directors)}
            if counts and named & changes.keys():
                facts[row.table_id] = row.facts | await measurement.facts(table)
            if changed is not None and changed.new and SEPARATION_FACT in row.facts:
                # Rows that came since may be far from where their object was.
                arrived = await self.measurement(after, {table.name: changed.new}).facts(table)
                farthest = max(row.facts[SEPARATION_FACT], arrived[SEPARATION_FACT])
                facts[row.table_id] = row.facts | {SEPARATION_FACT: farthest}
        return facts

"""A committed transaction is taken back: chunks are written anew without its rows, all at once as far as users see.

Which rows these are say their contributions, whatever segments they are in by now. A row that stays must not refer to one that
goes.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import clear_builds, placements
from ingest.building import NewSegment
from ingest.family import Family
from ingest.making import Making
from ingest.nodes import all_or_first_error, connected_nodes
from ingest.places import BASE, Place, places_of, segments_of
from ingest.provenance import Load
from ingest.references import slot_safe
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.restoring import Restoring
from ingest.rewriting import Rewrite, rewrite, rewritten
from ingest.sending import Placement
from ingest.staging import Staging
from ingest.withdrawable import check_last, withdrawable
from ingest.withdrawn_rows import WithdrawnRows, gone_by
from partitioner.chunkmap import ChunkMap
from qserv.errors import IngestError, InternalError, QservError
from qserv.ids import ChunkId, Segment
from qserv.metadata import contributions, merges, rewrites, segments, transactions
from qserv.metadata.catalogue import Json, catalogue_version, load_catalogue
from qserv.metadata.contributions import ContributionState
from qserv.metadata.director_index import Int64, forget_keys, forget_pending, pend_keys, pending_among
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, raise_version_of, read_family, write_facts
from qserv.metadata.rewrites import Rewritten
from qserv.metadata.segments import BuildKind
from qserv.metadata.transactions import TransactionState
from schema.model import CONTRIBUTION_COLUMN, Database, Table, TableRole

AT_A_TIME = 64
"""Chunks that are written together."""


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
                catalogue = await load_catalogue(connection, unpublished=True)
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

    async def run(self) -> int:
        """Take the rows away; return the version of the catalogue that does not show them."""
        await check_last(self)
        await self._pend_keys()
        await self._check_references()
        restored = {name: await self._restored(name) for name in self.gone if self.database.by_name[name].versions is not None}
        built = {name: await self._rewritten(name, restored.get(name)) for name in self.gone}
        facts = await self._facts(built)
        try:
            async with changing(self.engine, "ingest.withdraw.publish") as connection:
                for name, (number, made) in built.items():
                    await rewrites.rewrite(connection, self.rows[name].table_id, number, made)
                    await segments.end_build(connection, number)
                await forget_keys(connection, self.found.transaction_id)
                await forget_pending(connection, self.found.transaction_id)
                await write_facts(connection, facts)
                await rewrites.withdraw(connection, self.found.transaction_id)
                await transactions.end(connection, self.load.transaction_id)
                changed: dict[int, list[ChunkId]] = {table_id: [] for table_id in facts}
                changed |= {self.rows[name].table_id: [one.record.chunk for one in made] for name, (_, made) in built.items()}
                version = await raise_version_of(connection, changed)
                await merges.end_replaced(connection, version)
        except QservError:
            # An answer that is lost is not a commit that is lost.
            async with connect(self.engine) as connection:
                if await transactions.state_of(connection, self.load.transaction_id) is not TransactionState.COMMITTED:
                    raise
                version = await catalogue_version(connection)
        return version

    async def _restored(self, name: str) -> NewSegment:
        """Make a segment of the rows of a table that were the last ones before."""
        table, database = self.database.by_name[name], self.database
        if table.versions is None:
            msg = f"table {name} has no versions"
            raise InternalError(msg)
        placed, others = placements(self.catalogue, database, self.nodes), Placement(database.family, self.nodes, 1)
        making = Making(self.engine, self.nodes, Staging(self.name), self.load, others, self.progress, placed)
        history = database.by_name[table.versions.history]
        family, ended = Family(database, self.chunk_map), self.places(history.name, others=CONTRIBUTION_COLUMN)
        return await Restoring(making, family, table, self.rows[name], history, ended).run(table.versions)

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

    async def _rewritten(self, name: str, restored: NewSegment | None) -> tuple[int, list[Rewritten]]:
        """Make the chunks of a table without the rows, and with others in their place; return the segment that they are."""
        row, table = self.rows[name], self.database.by_name[name]
        async with changing(self.engine, "ingest.withdraw.begin") as connection:
            number = await segments.begin_build(connection, self.database.family, self.name, name, BuildKind.APPEND)
        before, made, without = segments_of(row), list[Rewritten](), {gone_by(table): self.numbers}
        added = {chunk: [segment] for chunk, segment in restored.segments.items()} if restored else {}
        gone = {one.chunk: (one.row_count, one.overlap_row_count) for one in self.chunks[name]}
        chunks = sorted({*gone, *added})
        for first in range(0, len(chunks), AT_A_TIME):
            wanted = []
            for chunk in chunks[first : first + AT_A_TIME]:
                there, (rows, near) = [*before[chunk], *added.get(chunk, ())], gone.get(chunk, (0, 0))
                wanted.append(Rewrite(self.name, table, chunk, row.replicas[chunk], there, rows, near, without))
            built = await all_or_first_error(rewrite(self.nodes, each, number) for each in wanted)
            for each, found in zip(wanted, built, strict=True):
                made.append(replace(rewritten(each, found), before=[segment.number for segment in before[each.chunk]]))
            self.progress(Progress(name, Stage.BUILDING, len(made), len(chunks)))
        return number, made

    async def _facts(self, built: Mapping[str, tuple[int, list[Rewritten]]]) -> dict[int, Json]:
        """Return the facts, by their ids, of tables that were written anew, and of those that refer to them."""
        after = {name: places_of(row) for name, row in self.rows.items()}
        for name, (number, made) in built.items():
            for one in made:
                record = one.record
                now = [Segment(number, record.row_count, record.overlap_row_count)]
                after[name][record.chunk] = Place.of(self.rows[name], record.chunk, record.nodes, now)
        measurement, facts = self.measurement(after, after), {}
        for table in self.database.tables:
            row = self.rows[table.name]
            counts = {"references", "pairs"} & row.facts.keys()
            named = {table.name, *(key.target_table for key in table.foreign_keys), *(name for name, _ in table.directors)}
            if counts and named & self.gone.keys():
                facts[row.table_id] = row.facts | await measurement.facts(table)
        return facts

"""A committed transaction is taken back: chunks are written anew without its rows, all at once as far as users see.

Which rows these are say their contributions, whatever segments they are in by now. A row that stays must not refer to one that
goes.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import clear_builds, placements
from ingest.building import NewSegment
from ingest.family import Family
from ingest.making import Making
from ingest.nodes import Nodes, all_or_first_error, connected_nodes
from ingest.places import BASE, Place, places_of, segments_of
from ingest.provenance import Load
from ingest.publication import described
from ingest.references import Measurement, slot_safe
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.restoring import Restoring
from ingest.rewriting import Rewrite, rewrite, rewritten
from ingest.sending import Placement
from ingest.staging import Staging
from partitioner.chunkmap import ChunkMap
from qserv.errors import IngestError, InternalError, QservError
from qserv.ids import ChunkId, Segment
from qserv.metadata import contributions, merges, rewrites, segments, transactions
from qserv.metadata.catalogue import CatalogueRows, Json, TableRow, catalogue_version, load_catalogue
from qserv.metadata.contributions import ContributionState, SentFile
from qserv.metadata.director_index import Int64, forget_keys, forget_pending, has_moved, pend_keys, pending_among
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, raise_version_of, read_family, write_facts
from qserv.metadata.rewrites import AppendedChunk, Rewritten
from qserv.metadata.segments import BuildKind
from qserv.metadata.transactions import TransactionState
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Database, Table, TableRole
from schema.physical import quote

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
        target = await withdrawable(engine, asked)
        load = await Load.begin(engine, Database(queued.database, queued.family, ()), queued)
        try:
            await clear_builds(engine, nodes, queued.family)
            async with connect(engine) as connection:
                catalogue = await load_catalogue(connection, unpublished=True)
                touched = await rewrites.appended(connection, target)
                sent = await contributions.of_transaction(connection, target)
                family = await read_family(connection, queued.family)
            chunk_map = ChunkMap.from_nuniq(family.chunks if family else ())
            work = _Withdrawal(engine, nodes, target, load, catalogue, queued.database, touched, sent, chunk_map, progress)
            version = await work.run()
        except BaseException as error:
            await load.abort(error)
            raise
    seconds = time.monotonic() - started
    reports = tuple(TableReport(name, rows, near, chunks, seconds, ()) for name, (rows, near, chunks) in work.gone.items())
    return LoadReport(queued.database, reports, 0, version, seconds, load.name)


async def withdrawable(engine: AsyncEngine, name: str) -> int:
    """Return the number of a transaction whose rows can be taken away.

    Raises
    ------
    NoSuchLoadError
        There is none of the name.
    IngestError
        It is not committed, or withdrawn already, or did not append, or moved rows of others.
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
    elif found.moved:
        msg = (
            f"{name} brought objects that lie in other chunks than before, to which all rows of theirs moved: that cannot be taken "
            f"back; append new versions of these objects"
        )
    else:
        return found.transaction_id
    raise IngestError(msg)


@dataclass(frozen=True)
class _Withdrawal:
    """Rows of a transaction, ``target``, that are to go, by another one, ``load``."""

    engine: AsyncEngine
    nodes: Nodes
    target: int
    load: Load
    catalogue: CatalogueRows
    name: str
    touched: Sequence[AppendedChunk]
    sent: Sequence[SentFile]
    chunk_map: ChunkMap
    progress: ProgressCallback

    async def run(self) -> int:
        """Take the rows away; return the version of the catalogue that does not show them."""
        await self._check_last()
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
                await forget_keys(connection, self.target)
                await forget_pending(connection, self.target)
                await write_facts(connection, facts)
                await rewrites.withdraw(connection, self.target)
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

    @cached_property
    def rows(self) -> dict[str, TableRow]:
        """The tables of the database."""
        return {row.name: row for row in self.catalogue.tables if row.database == self.name}

    @cached_property
    def database(self) -> Database:
        """The database as it is now."""
        row = next(row for row in self.catalogue.databases if row.database == self.name)
        overlap_deg = next((family.overlap_deg for family in self.catalogue.families if family.family == row.family), 0.0)
        return replace(described(row, list(self.rows.values())), overlap_deg=overlap_deg)

    @cached_property
    def chunks(self) -> dict[str, list[AppendedChunk]]:
        """Where the rows are that go, by table; of tables that are there still."""
        names = {row.table_id: name for name, row in self.rows.items()}
        found: dict[str, list[AppendedChunk]] = {}
        for one in self.touched:
            found.setdefault(names[one.table_id], []).append(one)
        return found

    @property
    def gone(self) -> dict[str, tuple[int, int, int]]:
        """Rows, overlap rows, and chunks, by table."""
        return {
            name: (sum(one.row_count for one in found), sum(one.overlap_row_count for one in found), len(found))
            for name, found in self.chunks.items()
        }

    @cached_property
    def numbers(self) -> list[int]:
        """Numbers of the contributions."""
        return [file.contribution_id for file in self.sent if file.state is ContributionState.DONE]

    def _places(
        self, name: str, *, staying: bool = False, by: str | None = None, others: str | None = None
    ) -> dict[ChunkId, Place]:
        """Return where rows are that go, or that stay beside those, of a table; of keys that are there no more, if it has versions.

        Parameters
        ----------
        by
            The column that says so; default: that of the table.
        others
            A column that says that it is not of the transaction. A row that came withdrawn is of it by both columns of a history.
        """
        table = self.database.by_name[name]
        goes, found = self._is_of_target(by or _column(table)), {}
        followed = table.versions if table.role is TableRole.DIRECTOR and not staying else None
        ended = self._places(followed.history) if followed is not None else {}
        for chunk, place in places_of(self.rows[name]).items():
            condition = f"({goes}) IS NOT TRUE" if staying else goes
            condition += "" if others is None else f" AND ({self._is_of_target(others)}) IS NOT TRUE"
            if chunk in ended:
                key = quote(str(table.director_key))
                condition += f" AND {key} NOT IN (SELECT {key} FROM {ended[chunk].base} AS ended)"  # noqa: S608 (quoted names)
            base, overlap = (f"(SELECT * FROM {part} AS rows WHERE {condition})" for part in (place.base, place.overlap))  # noqa: S608 (quoted names)
            found[chunk] = replace(place, base=base, overlap=overlap)
        return found

    def _is_of_target(self, column: str) -> str:
        """Return the condition that a column has the number of a contribution of the transaction."""
        return f"{quote(column)} = ANY(CAST(ARRAY[{', '.join(map(str, self.numbers))}] AS bigint[]))"

    async def _check_last(self) -> None:
        """Find out whether rows that are to go were followed by those of other transactions.

        Raises
        ------
        IngestError
            They were.
        """
        for table in self.database.tables:
            if table.versions is None or table.name not in self.gone:
                continue
            history = self.database.by_name[table.versions.history]
            places = self._places(history.name, by=CONTRIBUTION_COLUMN, others=ENDED_COLUMN)
            async with connect(self.engine) as connection:
                moved = await has_moved(connection, self.name)
            chunks = places.keys() if moved else {one.chunk for one in self.chunks[table.name]}
            former = {history.name: {chunk: place for chunk, place in places.items() if chunk in chunks}}
            found: list[str] = []
            key = ", ".join(f"CAST(source.{slot_safe(name)} AS text)" for name in table.version_key)
            template = f"SELECT concat_ws(', ', {key}) AS key FROM {{source}} AS source LIMIT 1"  # noqa: S608 (quoted)
            slots = {"source": (history, BASE)}
            await self._measurement(former, former).ask(template, slots, partial(_take_first, found))
            if found:
                row = f"{', '.join(table.version_key)} {min(found)}"
                others = "were followed by those of other transactions; withdraw these first"
                msg = f"rows of table {table.name}, such as {row}, {others}"
                raise IngestError(msg)

    async def _restored(self, name: str) -> NewSegment:
        """Make a segment of the rows of a table that were the last ones before."""
        table, database = self.database.by_name[name], self.database
        if table.versions is None:
            msg = f"table {name} has no versions"
            raise InternalError(msg)
        placed, others = placements(self.catalogue, database, self.nodes), Placement(database.family, self.nodes, 1)
        making = Making(self.engine, self.nodes, Staging(self.name), self.load, others, self.progress, placed)
        history = database.by_name[table.versions.history]
        family, ended = Family(database, self.chunk_map), self._places(history.name, others=CONTRIBUTION_COLUMN)
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
        going, staying = self._places(director.name, staying=False), self._places(table.name, staying=True)
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

        measurement = self._measurement({director.name: going, table.name: staying}, {table.name: staying})
        await measurement.ask(template, slots, take)
        if found:
            msg = (
                f"rows of table {table.name} that came with other transactions refer to rows of {director.name} that would go, "
                f"such as {key} {min(found)}; withdraw these transactions first"
            )
            raise IngestError(msg)

    def _measurement(
        self, chunks: Mapping[str, Mapping[ChunkId, Place]], measured: Mapping[str, Mapping[ChunkId, Place]]
    ) -> Measurement:
        return Measurement(self.engine, self.nodes, self.database, Staging(self.name), chunks, measured)

    async def _pend_keys(self) -> None:
        """Write down the keys of directors' rows that go, for their index."""
        async with changing(self.engine, "ingest.withdraw.clear") as connection:
            await forget_pending(connection, self.target)
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
            going = {chunk: place for chunk, place in self._places(table.name, staying=False).items() if chunk in chunks}
            await self._measurement({table.name: going}, {table.name: going}).ask(template, {"source": (table, BASE)}, pend)

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
        before, made, without = segments_of(row), list[Rewritten](), {_column(table): self.numbers}
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
        measurement, facts = self._measurement(after, after), {}
        for table in self.database.tables:
            row = self.rows[table.name]
            counts = {"references", "pairs"} & row.facts.keys()
            named = {table.name, *(key.target_table for key in table.foreign_keys), *(name for name, _ in table.directors)}
            if counts and named & self.gone.keys():
                facts[row.table_id] = row.facts | await measurement.facts(table)
        return facts


def _column(table: Table) -> str:
    """Return the column by which rows go with a transaction: with which they came, or which ended them."""
    return ENDED_COLUMN if table.is_history else CONTRIBUTION_COLUMN


def _take_first(found: list[Any], batch: pa.RecordBatch) -> None:
    found += batch.column(0).to_pylist()

"""Catalogue files -> published tables: the whole load path.

``read -> assign chunk and overlap -> sort -> files beside the nodes -> one COPY per chunk table, indexed -> measure -> publish``.
Tables are registered before anything is made on a node and shown in one transaction at the end: a load that fails, or is killed,
leaves nothing that users see, and the next one takes away what it left.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.dependents import KeptOrphans
from ingest.family import open_family
from ingest.formats.source import DEFAULT, ReadOptions
from ingest.inputs import Input, open_inputs
from ingest.leftovers import clear_runs, make_room, withdraw
from ingest.locations import Location
from ingest.making import Making
from ingest.nodes import all_or_first_error, connected_nodes
from ingest.provenance import Load
from ingest.publication import describe_published, publish, register
from ingest.readers.pool import ALONE, Files, Readers, take_files
from ingest.references import StrayRowsError, measure
from ingest.rejects import Rejects
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.sending import Placement, Sender
from ingest.swapping import swap
from ingest.taking import Part, Where, name_stray
from qserv.errors import QservError
from qserv.ids import NULL_CHUNK
from qserv.metadata.catalogue import Json
from qserv.metadata.director_index import begin_index, complete_index
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock
from qserv.placement import place_chunk
from schema.model import Database, Table, TableRole
from schema.types import row_schema

RUN_BYTES = 80 * 1024 * 1024
"""Rows gathered before they are sorted and sent. Some three copies of it exist for a moment, while as many are gathered: with it, a
load stays below 1 GB."""


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    Attributes
    ----------
    chunk_target_rows
        Rows a chunk should have at most, where the family has no chunk map yet.
    replicas
        Nodes that hold each chunk.
    reading
        How files are read.
    replace
        Put the rows in place of those of published tables of the same names, which stay until the new ones are all loaded.
    max_bad_rows
        Rows of all tables that may be set aside, in the file ``rejects``, because they cannot be stored.
    queued
        The load of the ingest service that this is; default: one of its own.
    readers
        Processes that read files, where there is much to read; default: this one.
    """

    chunk_target_rows: int
    replicas: int = 1
    reading: ReadOptions = DEFAULT
    replace: bool = False
    max_bad_rows: int = 0
    queued: Queued | None = None
    readers: Readers = ALONE
    rejects: Path = Path("rejects.jsonl")
    run_bytes: int = RUN_BYTES


def _unheard(_progress: Progress) -> None:
    """Hear nothing."""


async def load_catalogue(  # noqa: PLR0913 (the cluster's two doors, what to load, how)
    engine: AsyncEngine,
    secret: str,
    database: Database,
    files: Mapping[str, Sequence[Location]],
    *,
    options: LoadOptions,
    progress: ProgressCallback = _unheard,
) -> LoadReport:
    """Load files into tables and publish these, all together.

    Parameters
    ----------
    engine
        Of the metadata database, which knows the nodes.
    secret
        The cluster secret, for the workers.
    files
        Files by table name.

    Raises
    ------
    BadFileError, BadRowError
        A file or a row is not what it should be.
    IngestError
        The load cannot be done, such as into a table that is published already.
    StorageFullError, NodeUnavailableError, MetadataError
        From a part of the cluster. The same load can be run again.
    """
    started = time.monotonic()
    inputs = await asyncio.to_thread(open_inputs, database, files, options.reading)
    async with connect(engine) as connection:
        listed = await list_nodes(connection)
    # Too few nodes for the replicas: said now, rather than after hours of reading.
    place_chunk(database.family, NULL_CHUNK, {node.node_id: node.weight for node in listed}, options.replicas)
    rejects = Rejects(options.rejects, options.max_bad_rows)
    async with family_lock(engine, database.family), connected_nodes(listed, secret) as nodes:
        staging = await make_room(engine, nodes, database, inputs, replace=options.replace)
        load = await Load.begin(engine, database, options.queued)
        try:
            await clear_runs(engine, nodes)
            family = await open_family(
                engine, database, inputs, options.chunk_target_rows, progress, staging=staging, set_aside=rejects.unrecorded
            )
            table_ids = await register(engine, family, inputs, staging)
            placement = Placement(family.name, nodes, options.replicas)
            making = Making(engine, nodes, staging, load, placement, progress)
            async with _Tables(making, Where(engine, family, staging, load, options.run_bytes), rejects, options.readers) as tables:
                for source in inputs:
                    await tables.take(source, table_ids[source.table.name])
                reports = [await tables.build(source) for source in inputs]
                await tables.indexed()
            progress(Progress(database.name, Stage.PUBLISHING, 0, len(inputs)))
            facts = await tables.measured(inputs)
            if staging.replaced:
                await swap(engine, nodes, family, staging)
            version = await publish(engine, nodes, facts, load.transaction_id)
            progress(Progress(database.name, Stage.PUBLISHING, len(inputs), len(inputs)))
        except BaseException as error:
            if await load.abort(error):
                await withdraw(engine, nodes, inputs, staging)
                await describe_published(engine, nodes)
                await clear_runs(engine, nodes)
            if isinstance(error, QservError) and staging.names_staged(error):
                raise staging.as_users_know(error) from error
            raise
        await clear_runs(engine, nodes)
    return LoadReport(database.name, tuple(reports), len(family.chunk_map), version, time.monotonic() - started, load.name)


@dataclass(frozen=True)
class _Tables:
    """Loads tables, within an ``async with`` block: first the rows of all are taken, then all are built."""

    making: Making
    where: Where
    rejects: Rejects
    readers: Readers
    _facts: dict[str, Json] = field(default_factory=dict)
    """What was found of the rows of each table, by its name."""
    _senders: dict[str, Sender] = field(default_factory=dict)
    _orphans: dict[str, KeptOrphans] = field(default_factory=dict)
    _rows: dict[str, int] = field(default_factory=dict)
    _seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _indexing: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._indexing:
            task.cancel()
        await asyncio.gather(*self._indexing, return_exceptions=True)

    async def take(self, source: Input, table_id: int) -> None:
        """Read the files of a table, and leave its rows beside the nodes."""
        started, table, making = time.monotonic(), source.table, self.making
        if table.role is not TableRole.DIRECTOR:
            await self.indexed()
        await making.prepare(table)
        sender = Sender(making.nodes, making.load.transaction_id, table_id, row_schema(table), making.placement)
        index = (making.staging.home(table.name), table.name)
        if table.role is TableRole.DIRECTOR:
            async with changing(making.engine, "ingest.index.begin") as connection:
                await begin_index(connection, *index)
        parts = [Part(file, matching) for file, matching in source.files]
        readers = ALONE if self.rejects.allowed else self.readers
        files = Files(table, parts, lambda _: self.rejects, readers, source.row_count, self._trusts(table))
        taken = await take_files(files, sender, self.where, making.progress)
        if table.role is TableRole.DIRECTOR:
            self._indexing.append(asyncio.create_task(self._complete(*index)))
        self._rows[table.name] = taken.rows
        self._orphans[table.name] = taken.orphans
        self._senders[table.name] = sender
        self._seconds[table.name] += time.monotonic() - started

    async def _complete(self, home: str, table: str) -> None:
        async with changing(self.making.engine, "ingest.index.complete") as connection:
            await complete_index(connection, home, table)

    async def indexed(self) -> None:
        """Wait until the keys of directors, whose rows are taken, can be looked up.

        Raises
        ------
        IngestError
            A key occurs twice.
        """
        while self._indexing:
            await asyncio.shield(self._indexing[0])
            del self._indexing[0]

    async def build(self, source: Input) -> TableReport:
        """Let the nodes make the chunk tables of a table, out of its rows, while keys of directors are indexed."""
        started, table, sender = time.monotonic(), source.table, self._senders[source.table.name]
        expected = sum(map(len, sender.chunks.values()))
        building = asyncio.ensure_future(self.making.build(table, sender.table, self._rows[table.name], expected))
        await all_or_first_error((building, self.indexed()))  # a key that occurs twice ends the building
        built = building.result()
        orphans = self._orphans[table.name]
        self._facts[table.name] = built.facts | orphans.fact
        await sender.forget()
        return TableReport(
            table=table.name,
            rows=built.rows,
            overlap_rows=built.overlap_rows,
            chunks=len(built.chunks),
            seconds=self._seconds[table.name] + time.monotonic() - started,
            ignored_columns=source.ignored_columns,
            rejected=self.rejects.counts[table.name],
            orphans=orphans.chunks.total(),
            orphan_keys=tuple(orphans.keys),
        )

    async def measured(self, inputs: Sequence[Input]) -> dict[int, Json]:
        """Return the facts of the tables, and of those that refer to them.

        Raises
        ------
        BadRowError
            A row does not carry the position that its director's row has.
        """
        making = self.making
        trusted = {source.table.name: source for source in inputs if self._trusts(source.table)}
        try:
            return await measure(making.engine, making.nodes, self.where.family.database, self._facts, making.staging, trusted)
        except StrayRowsError as error:
            await name_stray(self.where, trusted[error.table])
            raise

    def _trusts(self, table: Table) -> bool:
        """Whether rows are placed by what they say of their directors: not where a row may be set aside, or kept elsewhere."""
        return bool(table.position_of_director) and not (table.keeps_orphans or self.rejects.allowed)

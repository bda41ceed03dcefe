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
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.building import BuiltTable, build
from ingest.dependents import KeptOrphans
from ingest.family import Family, open_family
from ingest.formats.source import DEFAULT, ReadOptions
from ingest.inputs import Input, open_inputs
from ingest.leftovers import clear_runs, make_room, withdraw
from ingest.locations import Location
from ingest.nodes import Nodes, connected_nodes
from ingest.provenance import Load
from ingest.publication import describe_published, publish, register
from ingest.references import StrayRowsError, measure
from ingest.rejects import Rejects
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.sending import Placement, Sender
from ingest.staging import Staging
from ingest.swapping import swap
from ingest.taking import Taking
from qserv.errors import QservError
from qserv.ids import NULL_CHUNK
from qserv.metadata.catalogue import Json
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, record_chunks
from qserv.placement import place_chunk
from schema.model import Database
from schema.serialise import table_to_json
from schema.types import row_schema
from workers.client import WorkerClient
from workers.protocol import BuildTable, PrepareTable

RUN_BYTES = 128 * 1024 * 1024
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
    """

    chunk_target_rows: int
    replicas: int = 1
    reading: ReadOptions = DEFAULT
    replace: bool = False
    max_bad_rows: int = 0
    queued: Queued | None = None
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
            tables = _Tables(engine, nodes, family, staging, options, progress, rejects, load)
            for source in inputs:
                await tables.take(source, table_ids[source.table.name])
            reports = [await tables.build(source) for source in inputs]
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
    """Loads tables: first the rows of all are taken, then all are built."""

    engine: AsyncEngine
    nodes: Nodes
    family: Family
    staging: Staging
    options: LoadOptions
    progress: ProgressCallback
    rejects: Rejects
    load: Load
    _facts: dict[str, Json] = field(default_factory=dict)
    """What was found of the rows of each table, by its name."""
    _senders: dict[str, Sender] = field(default_factory=dict)
    _orphans: dict[str, KeptOrphans] = field(default_factory=dict)
    _rows: dict[str, int] = field(default_factory=dict)
    _seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def take(self, source: Input, table_id: int) -> None:
        """Read the files of a table, and leave its rows beside the nodes."""
        started, table = time.monotonic(), source.table
        prepare = PrepareTable(self.staging.home(table.name), table_to_json(table))
        await self.nodes.call_all(partial(_prepare, action=prepare))
        placement = Placement(self.family.name, self.nodes, self.options.replicas)
        sender = Sender(self.nodes, self.load.transaction_id, table_id, row_schema(table), placement)
        taking = self._taking()
        self._rows[table.name] = await taking.take(source, sender)
        self._orphans[table.name] = taking.orphans
        self._senders[table.name] = sender
        self._seconds[table.name] += time.monotonic() - started

    async def build(self, source: Input) -> TableReport:
        """Let the nodes make the chunk tables of a table, out of its rows."""
        started, table, sender = time.monotonic(), source.table, self._senders[source.table.name]
        runs = await self.load.runs(sender.table)
        action = BuildTable(self.staging.home(table.name), table_to_json(table), sender.transaction, sender.table, runs)
        total = sum(map(len, sender.chunks.values()))
        made = await build(self.nodes, action, total, self.progress)
        built = BuiltTable.of(table, made, sender.placement, self._rows[table.name])
        orphans = self._orphans[table.name]
        self._facts[table.name] = built.facts | orphans.fact
        async with changing(self.engine, "ingest.chunks.record") as connection:
            await record_chunks(connection, sender.table, built.chunks, built.statistics)
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
        trusted = {source.table.name: source for source in inputs if self._taking().trusts(source.table)}
        try:
            return await measure(self.engine, self.nodes, self.family.database, self._facts, self.staging, trusted)
        except StrayRowsError as error:
            await self._taking().name_stray(trusted[error.table])
            raise

    def _taking(self) -> Taking:
        return Taking(self.engine, self.family, self.staging, self.load, self.rejects, self.progress, self.options.run_bytes)


def _prepare(client: WorkerClient, action: PrepareTable) -> None:
    client.prepare(action)

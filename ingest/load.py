"""Catalogue files -> published tables: the whole load path.

``read -> assign chunk and overlap -> sort (spilled) -> one COPY per chunk table and replica, indexed -> measure -> publish``.
Tables are registered before anything is made on a node and shown in one transaction at the end: a load that fails, or is killed,
leaves nothing that users see, and the next one takes away what it left.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.chunking import ChunkedRows, chunk_dependent_rows, chunk_director_rows, chunk_pair_rows, whole_rows
from ingest.family import Family, open_family
from ingest.formats.source import DEFAULT, ReadOptions
from ingest.inputs import Input, open_inputs
from ingest.leftovers import make_room, spill_directory, withdraw
from ingest.locations import Location
from ingest.nearest import NeighbourColumns
from ingest.nodes import Nodes, all_or_first_error, connected_nodes
from ingest.provenance import Load, digest
from ingest.publication import describe_published, publish, register
from ingest.references import measure
from ingest.rejects import Rejects
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.rows import Rows, read_rows, row_schema
from ingest.runs import Runs
from ingest.sending import Destination, Placement
from ingest.staging import Staging
from ingest.swapping import swap
from partitioner.healpix import Pixels
from qserv.errors import IngestError, QservError
from qserv.ids import NULL_CHUNK
from qserv.metadata.catalogue import REPLICATED_CHUNK, Json
from qserv.metadata.director_index import load_index
from qserv.metadata.engine import connect
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, record_chunks
from qserv.metadata.transactions import Contribution
from qserv.placement import place_chunk, place_chunks
from schema.model import Database, Table, TableRole
from schema.serialise import table_to_json
from schema.types import arrow_schema

BUFFER_BYTES = 128 * 1024 * 1024
"""Rows gathered before they are sorted. Some three copies of it exist for a moment, and overlap has a buffer of its own: with it, a
load stays below 1 GB."""

T = TypeVar("T")


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    Attributes
    ----------
    spill
        Directory for sorted runs; needs room for the largest table.
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
    """

    spill: Path
    chunk_target_rows: int
    replicas: int = 1
    reading: ReadOptions = DEFAULT
    replace: bool = False
    max_bad_rows: int = 0
    rejects: Path = Path("rejects.jsonl")
    buffer_bytes: int = BUFFER_BYTES


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
        spill = spill_directory(options.spill, database.family)
        shutil.rmtree(spill, ignore_errors=True)
        staging = await make_room(engine, nodes, database, inputs, replace=options.replace)
        load = await Load.begin(engine, database.name)
        try:
            family = await open_family(
                engine, database, inputs, options.chunk_target_rows, progress, staging=staging, set_aside=rejects.unrecorded
            )
            table_ids = await register(engine, family, inputs, staging)
            of_table = _TableLoad(engine, nodes, family, staging, options, spill, progress, rejects, load)
            reports = [await of_table.run(source, table_ids[source.table.name]) for source in inputs]
            progress(Progress(database.name, Stage.PUBLISHING, 0, len(inputs)))
            facts = await measure(engine, nodes, database, of_table.facts, staging)
            if staging.replaced:
                await swap(engine, nodes, family, staging)
            version = await publish(engine, nodes, facts, load.transaction_id)
            progress(Progress(database.name, Stage.PUBLISHING, len(inputs), len(inputs)))
        except BaseException as error:
            await withdraw(engine, nodes, inputs, staging)
            await describe_published(engine, nodes)
            await load.abort(error)
            if isinstance(error, QservError) and staging.names_staged(error):
                raise staging.as_users_know(error) from error
            raise
    return LoadReport(database.name, tuple(reports), len(family.chunk_map), version, time.monotonic() - started, load.name)


@dataclass(frozen=True)
class _TableLoad:
    """Loads one table after another."""

    engine: AsyncEngine
    nodes: Nodes
    family: Family
    staging: Staging
    options: LoadOptions
    spill: Path
    progress: ProgressCallback
    rejects: Rejects
    load: Load
    facts: dict[str, Json] = field(default_factory=dict)
    """What was found of the rows of each table that is loaded, by its name, while they were sent."""

    async def run(self, source: Input, table_id: int) -> TableReport:
        """Load the files of one table, all but its publication."""
        started = time.monotonic()
        table, schema = source.table, row_schema(source.table)
        sent_schema = arrow_schema(table)
        destination = Destination(self.nodes, self.staging.home(table.name), table_to_json(table), sent_schema, self.progress)
        with (
            contextlib.closing(Runs(self.spill / "base", schema, self.options.buffer_bytes)) as base,
            contextlib.closing(Runs(self.spill / "overlap", schema, self.options.buffer_bytes)) as overlap,
        ):
            sorting = asyncio.ensure_future(self._sort(source, base, overlap))
            await all_or_first_error([sorting, destination.prepare()])
            rows = sorting.result()
            placement = self._place(table, base, overlap)
            neighbours = NeighbourColumns(table, base, overlap) if table.role is TableRole.DIRECTOR else None
            sending = asyncio.ensure_future(destination.send(placement, base, overlap, neighbours))
            await all_or_first_error([sending, self._index(table, base)])
            sent = sending.result()
        self.facts[table.name] = neighbours.facts() if neighbours is not None else {}
        if rows != sent.rows:
            msg = f"table {table.name}: {rows} rows were read, {sent.rows} were loaded; run the load again"
            raise IngestError(msg)
        async with connect(self.engine) as connection, connection.begin():
            await record_chunks(connection, table_id, sent.chunks, sent.statistics)
        return TableReport(
            table=table.name,
            rows=rows,
            overlap_rows=sent.overlap_rows,
            chunks=len(sent.chunks),
            seconds=time.monotonic() - started,
            ignored_columns=source.ignored_columns,
            rejected=self.rejects.counts[table.name],
        )

    async def _sort(self, source: Input, base: Runs, overlap: Runs) -> int:
        """Read all rows, assign their chunks, and leave them sorted; return how many there are."""
        done = 0
        for file, matching in source.files:
            before, set_aside = done, self.rejects.counts[source.table.name]
            read = read_rows(source.table, file, matching, self.rejects.of(source.table.name))
            async with contextlib.aclosing(_read_ahead(read)) as batches:
                async for rows in batches:
                    chunked = await self._assign(source.table, rows)
                    await asyncio.to_thread(base.add, chunked.batch, chunked.chunks)
                    await asyncio.to_thread(overlap.add, chunked.overlap, chunked.overlap_chunks)
                    done += chunked.batch.num_rows
                    self.progress(Progress(source.table.name, Stage.READING, done, source.row_count))
            size_bytes, sha256 = await digest(file.path)
            rejected = self.rejects.counts[source.table.name] - set_aside
            taken = Contribution(source.table.name, str(file.path), size_bytes, sha256, done - before, rejected)
            await self.load.contribute(taken)
        await asyncio.to_thread(base.seal)
        await asyncio.to_thread(overlap.seal)
        return done

    async def _assign(self, table: Table, rows: Rows) -> ChunkedRows:
        match table.role:
            case TableRole.DIRECTOR:
                return await asyncio.to_thread(chunk_director_rows, rows, self.family.chunk_map, self.family.overlap_deg)
            case TableRole.DEPENDENT:
                return await chunk_dependent_rows(rows, table, self.engine, self.staging, self.rejects.of(table.name))
            case TableRole.REF_MATCH:
                return await chunk_pair_rows(rows, table, self.engine, self.staging, self.rejects.of(table.name))
            case TableRole.REPLICATED:
                return whole_rows(rows, np.full(rows.batch.num_rows, REPLICATED_CHUNK, dtype=np.int64))

    def _place(self, table: Table, base: Runs, overlap: Runs) -> Placement:
        if not table.partitioned:
            return {REPLICATED_CHUNK: self.nodes.names}
        chunks = sorted({*base.row_counts, *overlap.row_counts})
        return place_chunks(self.family.name, chunks, self.nodes.weights, self.options.replicas)

    async def _index(self, table: Table, base: Runs) -> None:
        """Write the director index, while rows are sent."""
        if table.role is TableRole.DIRECTOR:
            keys = contextlib.aclosing(_keys(base, str(table.director_key)))
            async with connect(self.engine) as connection, keys as batches:
                await load_index(connection, self.staging.home(table.name), table.name, batches)


async def _keys(rows: Runs, column: str) -> AsyncGenerator[tuple[Pixels, Pixels], None]:
    async with contextlib.aclosing(_read_ahead(rows.values(column))) as batches:
        async for values, chunks in batches:
            yield values.cast(pa.int64()).to_numpy(), chunks


async def _read_ahead(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield what an iterator gives, which runs in a thread, one item ahead."""
    following = asyncio.ensure_future(asyncio.to_thread(next, items, None))
    try:
        # A thread cannot be cancelled: the wait for it is, and the end below waits again.
        while (item := await asyncio.shield(following)) is not None:
            following = asyncio.ensure_future(asyncio.to_thread(next, items, None))
            yield item
    finally:
        # The thread must be through with the iterator before its files are closed.
        await asyncio.gather(following, return_exceptions=True)

"""A transaction that stays open: contributions are taken as they are sent, and become tables when it is committed.

What was taken survives the process that took it: the next one goes on with the file that was being read. An error of a contribution
is its own. A commit that cannot be done leaves the transaction open.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import append, check_appendable, clear_builds, placements
from ingest.contributing import MOST_TRIES, RETRY_S, Contributing, waits
from ingest.family import Family, open_family
from ingest.inputs import LOAD_ORDER, Input, open_inputs
from ingest.leftovers import clear_runs, make_room, remove_hidden
from ingest.locations import Location
from ingest.making import Making
from ingest.nodes import Nodes, connected_nodes
from ingest.provenance import Load
from ingest.publication import describe_published, publish, published_tables, register
from ingest.readers.pool import ALONE, Readers
from ingest.references import measure
from ingest.report import LoadReport, Progress, ProgressCallback, Stage, TableReport
from ingest.sending import Placement
from ingest.staging import Staging, staged_database
from ingest.swapping import swap
from ingest.taking import Where
from partitioner.chunkmap import ChunkMap
from qserv.errors import IngestError, QservError
from qserv.ids import NULL_CHUNK
from qserv.metadata import contributions
from qserv.metadata.catalogue import Json, load_catalogue
from qserv.metadata.contributions import ContributionState, SentFile
from qserv.metadata.director_index import begin_index, complete_index
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued, Wish
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_is_cut, family_lock, read_family, table_ids, table_state
from qserv.metadata.transactions import LEFT_OPEN, TransactionState
from qserv.placement import place_chunk
from schema.model import Database, Table, TableRole

LOOK_S = 15.0
"""How often an idle transaction looks for what was sent, if nobody tells it."""

NAMED = 10
"""Contributions that an error names at the most."""

log = structlog.get_logger("ingest.transactions")


@dataclass(frozen=True)
class TransactionOptions:
    """What a transaction loads, and how.

    Attributes
    ----------
    database
        As its schema declares it.
    tables
        Names of the tables that it makes.
    positions
        Files with positions of directors' rows, by table, after which the sky is cut where the family has no chunk map yet.
    order
        HEALPix order of all chunks, rather than that.
    chunk_target_rows
        Rows of ``positions`` a chunk should have at most.
    replicas
        Nodes that hold each chunk.
    replace
        Put the rows in place of those of published tables.
    max_bad_rows
        Rows of a file that may be set aside.
    rejects
        Directory of the files that name them.
    run_bytes
        Size of a run in memory.
    appends
        Whether rows are added to published tables.
    readers
        Processes that read files, where there is much to read; rows that are added are read by this one.
    """

    database: Database
    tables: tuple[str, ...]
    positions: Mapping[str, Sequence[Location]]
    order: int | None
    chunk_target_rows: int
    replicas: int
    replace: bool
    max_bad_rows: int
    rejects: Path
    run_bytes: int
    appends: bool = False
    readers: Readers = ALONE


@dataclass(frozen=True)
class Cluster:
    """The doors of the cluster: its metadata database, and the secret for its workers; and room for so many that work at a time."""

    engine: AsyncEngine
    secret: str
    slots: asyncio.Semaphore


async def run_transaction(
    cluster: Cluster, options: TransactionOptions, queued: Queued, wake: asyncio.Event, progress: ProgressCallback
) -> LoadReport:
    """Take what is sent into a transaction until it is committed.

    Parameters
    ----------
    queued
        The transaction: queued, or open since an earlier process ended.
    wake
        Set when something was sent, or a commit is asked.

    Raises
    ------
    IngestError
        It cannot be begun, or could not be committed while tables changed places. It is aborted then.
    QservError
        A part of the cluster does not answer. It can be gone on with.
    asyncio.CancelledError
        If it was cancelled, it is aborted; else it is left as it is, to go on with the next service.
    """
    database = options.database
    async with connect(cluster.engine) as connection:
        listed = await list_nodes(connection)
    async with family_lock(cluster.engine, database.family), connected_nodes(listed, cluster.secret) as nodes:
        async with _aborted_if_wrong(cluster.engine, nodes, database, Load(cluster.engine, queued.transaction_id, queued.name)):
            _check_tables(options)
            place_chunk(database.family, NULL_CHUNK, {node.node_id: node.weight for node in listed}, options.replicas)
            opened = _opened_to_append if options.appends else _opened
            transaction = await opened(cluster.engine, nodes, options, queued, progress)
            report = await transaction.run(wake, cluster.slots)
        await clear_runs(cluster.engine, nodes)
    return report


@asynccontextmanager
async def _aborted_if_wrong(engine: AsyncEngine, nodes: Nodes, database: Database, load: Load) -> AsyncIterator[None]:
    """Abort a transaction that cannot go on, unless it can with the next process, or when the cluster answers again."""
    try:
        yield
    except BaseException as error:
        goes_on = isinstance(error, asyncio.CancelledError) or getattr(error, "retryable", False)
        if (not goes_on or await _wish(engine, load) in {Wish.SWAP, Wish.CANCEL}) and await load.abort(error):
            with contextlib.suppress(QservError):
                await clear_builds(engine, nodes, database.family)
                await remove_hidden(engine, nodes, database.name)
            await describe_published(engine, nodes)
            await clear_runs(engine, nodes)
        raise


async def _wish(engine: AsyncEngine, load: Load) -> Wish | None:
    """Return what is asked of a transaction."""
    async with connect(engine) as connection:
        return await contributions.wish_of(connection, load.transaction_id)


async def _opened(
    engine: AsyncEngine, nodes: Nodes, options: TransactionOptions, queued: Queued, progress: ProgressCallback
) -> "_Transaction":
    """Open a transaction: its family is cut and its tables are registered, by this process or an earlier one."""
    database = options.database
    inputs = tuple(Input(table, ()) for table in database.tables if table.name in options.tables)
    opened = await _registered(engine, options) if queued.state is TransactionState.OPEN else None
    load = Load(engine, queued.transaction_id, queued.name)
    if opened is None:
        staging = await make_room(engine, nodes, database, inputs, replace=options.replace)
        if queued.state is TransactionState.QUEUED:
            load = await Load.begin(engine, database, queued)
        await clear_runs(engine, nodes)
        await _check_sky(engine, options)
        given = await asyncio.to_thread(open_inputs, database, options.positions)
        family = await open_family(
            engine, database, given, options.chunk_target_rows, progress, staging=staging, order=options.order
        )
        ids = await _register(engine, family, inputs, staging)
    else:
        family, staging, ids = opened
    making = Making(engine, nodes, staging, load, Placement(family.name, nodes, options.replicas), progress)
    for source in inputs:
        await making.prepare(source.table)
    where = Where(engine, family, staging, load, options.run_bytes)
    taking = Contributing(
        database, making, where, ids, options.rejects, options.max_bad_rows, ALONE if options.max_bad_rows else options.readers
    )
    return _Transaction(making, family, taking, ids, inputs)


async def _opened_to_append(
    engine: AsyncEngine, nodes: Nodes, options: TransactionOptions, queued: Queued, progress: ProgressCallback
) -> "_Transaction":
    """Open a transaction that adds rows to published tables.

    Raises
    ------
    UnknownNameError, IngestError
        One of them is not published any more, or takes none.
    """
    database = await published_tables(engine, options.database.name, options.tables)  # as it is now, not as it was when asked
    check_appendable(database, frozenset(options.tables))
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, beside=database.name)
        family = await read_family(connection, database.family)
    ids = {row.name: row.table_id for row in catalogue.tables if row.database == database.name}
    load, staging = Load(engine, queued.transaction_id, queued.name, appends=True), Staging(database.name)
    if queued.state is TransactionState.QUEUED:
        await load.open(queued)
    places = placements(catalogue, database, nodes)
    making = Making(engine, nodes, staging, load, Placement(database.family, nodes, options.replicas), progress, places)
    for table in database.tables:  # a node may be new
        await making.prepare(table)
    chunk_map = Family(database, ChunkMap.from_nuniq(family.chunks if family else ()))
    where = Where(engine, chunk_map, staging, load, options.run_bytes)
    taking = Contributing(database, making, where, ids, options.rejects, options.max_bad_rows, ALONE)
    inputs = tuple(Input(database.by_name[name], ()) for name in options.tables)
    return _Transaction(making, chunk_map, taking, ids, inputs, appends=True)


def _check_tables(options: TransactionOptions) -> None:
    """Refuse tables whose rows cannot be placed before all directors are there."""
    for table in options.database.tables:
        if table.name in options.tables and table.keeps_orphans:
            msg = (
                f"table {table.name} keeps rows without a director (orphans: keep): which these are is known when all rows of "
                f"{table.director} are there; load it with them by `qserv ingest`"
            )
            raise IngestError(msg)


async def _check_sky(engine: AsyncEngine, options: TransactionOptions) -> None:
    """Refuse to cut the sky without a word of how."""
    partitioned = [table.name for table in options.database.tables if table.name in options.tables and table.partitioned]
    besides = (options.database.name, options.tables if options.replace else ())
    async with connect(engine) as connection:
        cut = await family_is_cut(connection, options.database.family, besides)
    if partitioned and not cut and options.order is None and not options.positions:
        msg = (
            f"family {options.database.family!r} has no chunk map yet; give the order of its chunks (chunk_order), or files with "
            f"positions after which the sky is cut (positions)"
        )
        raise IngestError(msg)


async def _registered(engine: AsyncEngine, options: TransactionOptions) -> tuple[Family, Staging, dict[str, int]] | None:
    """Return what an earlier process registered of a transaction, which is hidden; None if it did not come so far."""
    database, wanted = options.database, frozenset(options.tables)
    staged, plain = Staging(database.name, wanted), Staging(database.name)
    for staging, name, family in (
        (staged, staged_database(database.name), staged_database(database.name)),
        (plain, database.name, database.family),
    ):
        async with connect(engine) as connection:
            state = await table_state(connection, name)
            ids = await table_ids(connection, name)
            known = await read_family(connection, family)
        if known is not None and all(state.get(table) is False for table in wanted):
            chunk_map = ChunkMap.from_nuniq(known.chunks)
            return Family(database, chunk_map), staging, {table: ids[table] for table in wanted}
    return None


async def _register(engine: AsyncEngine, family: Family, inputs: Sequence[Input], staging: Staging) -> dict[str, int]:
    """Register tables. Indexes of directors can be searched from the beginning: a key that comes twice fails what brings it."""
    async with changing(engine, "service.index.make") as connection:
        for source in inputs:
            if source.table.role is TableRole.DIRECTOR:
                index = (staging.home(source.table.name), source.table.name)
                await begin_index(connection, *index)
                await complete_index(connection, *index)
    return await register(engine, family, inputs, staging)


@dataclass(frozen=True)
class _Transaction:
    """An open transaction."""

    making: Making
    family: Family
    taking: Contributing
    table_ids: Mapping[str, int]
    inputs: Sequence[Input]
    appends: bool = False

    async def run(self, wake: asyncio.Event, slots: asyncio.Semaphore) -> LoadReport:
        """Take what is sent, until a commit is asked and done."""
        if await _wish(self.making.engine, self.making.load) is Wish.SWAP:
            raise IngestError(LEFT_OPEN)
        await self.taking.begin()
        tries = 0
        while True:
            wake.clear()
            wish, sent = await _wish(self.making.engine, self.making.load), await self.taking.sent()
            wait_s = LOOK_S
            if waiting := [file for file in sent if waits(file)]:
                async with slots:
                    wait_s = await self.taking.take(waiting)
            elif wish is Wish.COMMIT:
                try:
                    async with slots:
                        return await self._commit(sent)
                except QservError as error:
                    if await _wish(self.making.engine, self.making.load) is Wish.SWAP:
                        raise
                    tries += 1
                    wait_s = await self._not_committed(error, tries)
                    tries = tries if wait_s else 0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), wait_s)

    async def _not_committed(self, error: QservError, tries: int) -> float:
        """Return after how many seconds to try a commit again, or let the transaction be open, and say why."""
        await describe_published(self.making.engine, self.making.nodes)
        if error.retryable and tries < MOST_TRIES:
            log.warning("commit is tried again", transaction=self.making.load.name, code=error.code, reason=str(error))
            return float(RETRY_S * 2 ** (tries - 1))
        log.warning("commit failed", transaction=self.making.load.name, code=error.code, reason=str(error))
        message = str(self.making.staging.as_users_know(error))
        async with changing(self.making.engine, "service.commit.refuse") as connection:
            await contributions.refuse_commit(connection, self.making.load.transaction_id, message, error.code)
        return 0.0

    async def _commit(self, sent: Sequence[SentFile]) -> LoadReport:
        """Make tables of all that was taken, and show them."""
        started, making = time.monotonic(), self.making
        if failed := sorted({file.name for file in sent if file.state is ContributionState.FAILED}):
            names = ", ".join(failed[:NAMED]) + (f" and {len(failed) - NAMED} more" if len(failed) > NAMED else "")
            msg = f"contributions failed: {names}; send them again or cancel them, then commit again"
            raise IngestError(msg)
        async with connect(making.engine) as connection:
            rows = await contributions.rows_of(connection, making.load.transaction_id)
        if self.appends:
            return await self._append(rows, started)
        facts: dict[str, Json] = {}
        reports = []
        for table in sorted((source.table for source in self.inputs), key=lambda table: LOAD_ORDER.index(table.role)):
            report, facts[table.name] = await self._build(table, *rows.get(table.name, (0, 0)))
            reports.append(report)
        database = self.family.database
        making.progress(Progress(database.name, Stage.PUBLISHING, 0, len(reports)))
        measured = await measure(making.engine, making.nodes, database, facts, making.staging)
        if making.staging.replaced:
            async with changing(making.engine, "service.swap.begin") as connection:
                await contributions.begin_swap(connection, making.load.transaction_id)
            await swap(making.engine, making.nodes, self.family, making.staging)
        version = await publish(making.engine, making.nodes, measured, making.load.transaction_id)
        making.progress(Progress(database.name, Stage.PUBLISHING, len(reports), len(reports)))
        seconds = time.monotonic() - started
        return LoadReport(database.name, tuple(reports), len(self.family.chunk_map), version, seconds, making.load.name)

    async def _append(self, rows: Mapping[str, tuple[int, int]], started: float) -> LoadReport:
        """Show what was taken beside the rows of before."""
        database = self.family.database
        made, version = await append(self.making, self.family, {name: taken for name, (taken, _) in rows.items()})
        seconds = time.monotonic() - started
        reports = tuple(
            TableReport(name, built.rows, built.overlap_rows, len(built.chunks), seconds, (), rows.get(name, (0, 0))[1])
            for name, built in made.items()
        )
        return LoadReport(database.name, reports, len(self.family.chunk_map), version, seconds, self.making.load.name)

    async def _build(self, table: Table, rows: int, rejected: int) -> tuple[TableReport, Json]:
        started = time.monotonic()
        await self.making.prepare_anew(table)
        built = await self.making.build(table, self.table_ids[table.name], rows)
        seconds = time.monotonic() - started
        report = TableReport(table.name, built.rows, built.overlap_rows, len(built.chunks), seconds, (), rejected)
        return report, built.facts

"""Runs the loads that wait: one of a family at a time, a few at once; heals what dead ones left."""

import asyncio
import contextlib
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.columns import ColumnWish, add_column
from ingest.contributing import rejects_of
from ingest.indexing import IndexWish, index_table
from ingest.inputs import with_histories
from ingest.load import RUN_BYTES, LoadOptions, load_catalogue
from ingest.locations import Location, located
from ingest.readers.pool import Readers
from ingest.recovery import recover
from ingest.report import LoadReport, Progress, Stage
from ingest.service.models import LoadRequest, TransactionRequest
from ingest.service.receiving import UNFINISHED
from ingest.transaction import Cluster, TransactionOptions, run_transaction
from ingest.withdrawing import withdraw
from qserv.api.errors import INTERNAL
from qserv.errors import InternalError, LoadCancelledError, QservError
from qserv.metadata import loads
from qserv.metadata.catalogue import Json
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import COLUMN, INDEX, TRANSACTION, WITHDRAWAL, Queued
from qserv.metadata.transactions import TransactionState
from schema.model import Database
from schema.serialise import column_from_json, database_from_json

OPEN_AT_A_TIME = 6
"""Transactions that are open together; others wait until one ends. Each holds a connection to the metadata database."""

LOADS_AT_A_TIME = 2
"""Loads of a service that run together: each may take a gigabyte, and one keeps two cores busy."""

POLL_S = 15.0
"""How often loads are looked for whose process died; new ones begin at once."""

PROGRESS_S = 0.5
"""How often it is written down how far a load is."""

MOST_TRIES = 5
RETRY_S = 2.0
"""A load that failed for a reason that may pass is tried so often: again after this time, then after twice as long, and so on."""

STOPPED = "the ingest service was stopped"

UPLOADS = "uploads"
"""Directory, in the home, of files that came in requests, until their transaction ends."""

log = structlog.get_logger("ingest.loads")


class LoadRunner:
    """Runs loads, from `start` to `close`.

    Parameters
    ----------
    engine
        Of the metadata database.
    secret
        The cluster secret.
    home
        Directory of the cluster: of files that name rows which were set aside, and of files that came in requests.
    chunk_target_rows
        Rows a chunk should have at most, where a load does not say.
    readers
        Processes that read files.
    """

    def __init__(self, engine: AsyncEngine, secret: str, home: Path, chunk_target_rows: int, readers: Readers) -> None:
        self._engine, self._secret, self._chunk_target_rows, self._readers = engine, secret, chunk_target_rows, readers
        self._rejects, self._uploads = home / "rejects", home / UPLOADS
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(LOADS_AT_A_TIME)
        """Transactions that read files or make tables at a time; others wait, though they are open."""
        self._running: dict[str, tuple[Queued, asyncio.Task[None]]] = {}
        self._told: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when something was sent into an open transaction."""
        self._tries: Counter[str] = Counter()
        self._not_before_s: dict[str, float] = {}
        """When a load that failed may be tried again, on the clock of `time.monotonic`."""
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run loads."""
        self._rejects.mkdir(parents=True, exist_ok=True)
        for path in self._uploads.glob(f"{UNFINISHED}*"):  # left by a service that died
            path.unlink()
        self._loop = asyncio.create_task(self._look_for_loads())

    async def close(self) -> None:
        """Stop. Loads that run are taken back, and wait for the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel(STOPPED)
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """Look for loads now."""
        self._wake.set()

    def tell(self, name: str) -> None:
        """Let a transaction look now at what was sent into it, or asked of it."""
        self._told[name].set()

    async def cancel(self, name: str) -> None:
        """Stop a load; nothing of it will be visible. Does nothing to one that has ended."""
        reason = "it was cancelled"
        async with changing(self._engine, "service.load.cancel") as connection:
            dropped = await loads.drop_queued(connection, name, reason, LoadCancelledError.code)
            await loads.give_up(connection, name, LoadCancelledError.code)
        if dropped:
            await self._forget_uploads(name)
        if name in self._running and not (task := self._running[name][1]).cancelling():
            task.cancel(reason)

    def rejects_of(self, name: str) -> Path:
        """Return the file that names the rows of a load which were set aside."""
        return self._rejects / f"{name}.jsonl"

    def rejects_of_contribution(self, numbers: Sequence[int]) -> bytes:
        """Return the lines that name the rows of files of a contribution which were set aside."""
        paths = (rejects_of(self._rejects, number) for number in numbers)
        return b"".join(path.read_bytes() for path in paths if path.exists())

    async def _look_for_loads(self) -> None:
        while True:
            self._wake.clear()
            wait_s = POLL_S
            try:
                for load in await recover(self._engine, self._secret, self._running.keys()):
                    log.warning("a load ended without a word", load=load.name, attempt=load.attempt)
                    if load.kind == TRANSACTION:  # that is not begun anew
                        await self._forget_uploads(load.name)
                wait_s = await self._begin_loads()
            except QservError as error:
                log.warning("loads cannot be looked for", code=error.code, reason=str(error))
            except Exception:  # a mistake of ours: without this loop no load would be begun any more
                log.exception("loads cannot be looked for")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait_s)

    async def _begin_loads(self) -> float:
        """Begin what may be begun; return after how many seconds to look again."""
        async with connect(self._engine) as connection:
            waiting = await loads.waiting(connection)
        busy = {load.family for load, _ in self._running.values()}
        running = Counter(load.kind == TRANSACTION for load, _ in self._running.values())
        most = {True: OPEN_AT_A_TIME, False: LOADS_AT_A_TIME}
        waits_s = [POLL_S]
        for load in waiting:
            is_open = load.kind == TRANSACTION
            wait_s = self._not_before_s.get(load.name, 0) - time.monotonic()
            if wait_s > 0:
                waits_s.append(wait_s)
            elif load.family not in busy and load.name not in self._running and running[is_open] < most[is_open]:
                self._running[load.name] = load, asyncio.create_task(self._run(load))
                running[is_open] += 1
            busy.add(load.family)  # what was asked first is loaded first
        return min(waits_s)

    async def _run(self, load: Queued) -> None:
        progress = _Stages()
        writing = asyncio.create_task(self._write_progress(load, progress))
        try:
            await self._ended(load, progress)
        except QservError as problem:  # of the metadata database; what is open is healed when it answers
            log.warning("the end of a load is not written down", load=load.name, code=problem.code, reason=str(problem))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            del self._running[load.name]
            self._told.pop(load.name, None)
            self.wake()

    async def _ended(self, load: Queued, progress: "_Stages") -> None:
        """Run a load, and write down how it ended."""
        try:
            report = await self._load(load, progress)
        except asyncio.CancelledError as error:
            await self._stopped(load, progress, str(error))
        except QservError as error:
            await self._failed(load, progress, error)
        except Exception:  # a mistake of ours: its load has failed, others go on
            log.exception("load failed", load=load.name)
            await self._failed(load, progress, InternalError(INTERNAL))
        else:
            log.info("loaded", load=load.name, rows=sum(table.rows for table in report.tables), seconds=report.seconds)
            await self._end(load, progress, report=asdict(report))

    async def _load(self, load: Queued, progress: "_Stages") -> LoadReport:
        if load.request is None:
            msg = f"load {load.name} is queued, and nobody knows for what"
            raise LoadCancelledError(msg)
        log.info("loading", load=load.name, database=load.database, attempt=load.attempt + 1)
        asked = load.request["asked"]
        if load.kind == INDEX:
            wish = IndexWish(asked["table"], tuple(asked["columns"]), drop=asked["drop"])
            return await index_table(self._engine, self._secret, wish, load, progress.note)
        if load.kind == COLUMN:
            added = ColumnWish(asked["table"], column_from_json(load.request["column"]))
            return await add_column(self._engine, self._secret, added, load, progress.note)
        if load.kind == WITHDRAWAL:
            return await withdraw(self._engine, self._secret, load, progress.note)
        database = database_from_json(load.request["database"])
        if load.kind == TRANSACTION:
            transaction = await self._transaction(database, TransactionRequest.model_validate(asked))
            cluster = Cluster(self._engine, self._secret, self._slots)
            return await run_transaction(cluster, transaction, load, self._told[load.name], progress.note)
        request = LoadRequest.model_validate(asked)
        files = {table: await asyncio.to_thread(_located, words) for table, words in request.files.items()}
        options = LoadOptions(
            chunk_target_rows=request.chunk_target_rows or self._chunk_target_rows,
            replicas=request.replicas,
            reading=request.reading,
            replace=request.replace,
            max_bad_rows=request.max_bad_rows,
            queued=load,
            readers=self._readers,
            rejects=self.rejects_of(load.name),
        )
        return await load_catalogue(self._engine, self._secret, database, files, options=options, progress=progress.note)

    async def _transaction(self, database: Database, request: TransactionRequest) -> TransactionOptions:
        positions = {table: await asyncio.to_thread(_located, words) for table, words in request.positions.items()}
        return TransactionOptions(
            database=database,
            tables=tuple(with_histories(database, request.tables or database.by_name)),
            positions=positions,
            order=request.chunk_order,
            chunk_target_rows=request.chunk_target_rows or self._chunk_target_rows,
            replicas=request.replicas,
            replace=request.replace,
            max_bad_rows=request.max_bad_rows,
            rejects=self._rejects,
            run_bytes=RUN_BYTES,
            appends=request.append_to is not None,
            readers=self._readers,
        )

    async def _stopped(self, load: Queued, progress: "_Stages", reason: str) -> None:
        """A load was cancelled, or the service stops: then it waits for the next one."""
        log.info("load stopped", load=load.name, reason=reason)
        async with connect(self._engine) as connection:
            state = await loads.state_of(connection, load.name)
        if state is TransactionState.OPEN and load.kind == TRANSACTION:
            return  # it goes on with the next service
        if reason == STOPPED and state is not TransactionState.ABORTED:
            return  # it waits still, or is committed
        if reason == STOPPED:
            async with changing(self._engine, "service.load.requeue") as connection:
                if await loads.requeue(connection, load):
                    return
        await self._end(load, progress, code=LoadCancelledError.code)

    async def _failed(self, load: Queued, progress: "_Stages", error: QservError) -> None:
        """Try a load again whose error may pass; else it has ended."""
        self._tries[load.name] += 1
        tries = self._tries[load.name]
        async with changing(self._engine, "service.load.fail") as connection:
            state = await loads.state_of(connection, load.name)
            if error.retryable and (tries < MOST_TRIES or (load.kind == TRANSACTION and state is TransactionState.OPEN)):
                self._not_before_s[load.name] = time.monotonic() + RETRY_S * 2 ** (min(tries, MOST_TRIES) - 1)
                log.warning("load is tried again", load=load.name, code=error.code, reason=str(error))
                if state is not TransactionState.ABORTED or await loads.requeue(connection, load):
                    return
            if state is TransactionState.QUEUED:  # it failed before it began
                await loads.drop_queued(connection, load.name, str(error), error.code)
        log.warning("load failed", load=load.name, code=error.code, reason=str(error))
        await self._end(load, progress, code=error.code)

    async def _end(self, load: Queued, progress: "_Stages", *, report: Json | None = None, code: str | None = None) -> None:
        self._tries.pop(load.name, None)
        self._not_before_s.pop(load.name, None)
        await self._forget_uploads(load.name)
        async with changing(self._engine, "service.load.end") as connection:
            await loads.write_end(connection, load.transaction_id, progress=progress.as_json(), report=report, code=code)

    async def _forget_uploads(self, name: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._uploads / name, ignore_errors=True)

    async def _write_progress(self, load: Queued, progress: "_Stages") -> None:
        written: Json = {}
        while True:
            await asyncio.sleep(PROGRESS_S)
            now = progress.as_json()
            if now != written:
                with contextlib.suppress(QservError):
                    async with changing(self._engine, "service.load.progress") as connection:
                        await loads.write_progress(connection, load.transaction_id, now)
                    written = now


class _Stages:
    """How far each stage of each table is. Written by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[tuple[str, Stage], Progress] = {}

    def note(self, progress: Progress) -> None:
        with self._lock:
            self._stages[progress.table, progress.stage] = progress

    def as_json(self) -> Json:
        with self._lock:
            return {"stages": [asdict(progress) for progress in self._stages.values()]}


def _located(words: Iterable[str]) -> list[Location]:
    return [location for word in words for location in located(word)]

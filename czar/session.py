"""The whole path of a query: parse -> analyse -> plan -> dispatch -> merge."""

import asyncio
import functools
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlglot import exp

from czar.analyse import Query, named
from czar.analyse.query import Access, Output
from czar.answer import Answer, Outcome
from czar.catalogue import Catalogue
from czar.catalogue_reader import CatalogueReader
from czar.dialects.moment import at_moment
from czar.execution import Execution
from czar.explain import Explanation, Measured, explain_query, explain_run
from czar.explain_statement import COLUMN, ExplainStatement, read_explain
from czar.limiting import limited
from czar.limits import Admission, AnswerLimit
from czar.merge import Merger
from czar.metrics import Metrics
from czar.parse import TOO_DEEP, one_query, parse
from czar.presence import Presence, this_process
from czar.query_log import QueryLog
from czar.running import Engine, Run
from czar.scratch import Scratch
from czar.statements import Connections
from czar.times import Pace
from czar.usage import Usage
from qserv.cluster import METADATA_DATABASE, SCRATCH_DATABASE, Cluster, Role, Secrets
from qserv.errors import NotYetSupportedError, Place, QueryCancelledError, QueryError, QueryLimitError
from qserv.ids import NodeId
from qserv.metadata.engine import make_engine
from qserv.metadata.lookups import Lookups
from qserv.settings import Settings
from workers.client import WorkerClient

Result = TypeVar("Result")

READING_THREADS = 64
"""Answers that are read at a time; each holds a thread while it waits for the nodes."""

THREAD_CHARACTERS = 20_000
"""Queries that are longer are analysed in a thread: at seconds a million characters, they would hold up all other requests."""


class Session:
    """A czar: answers queries until it is closed. Make it with `open`."""

    def __init__(
        self,
        metadata: AsyncEngine,
        workers: dict[NodeId, WorkerClient],
        scratch: Scratch,
        provenance: Connections,
        settings: Settings,
    ) -> None:
        self._metadata, self._workers, self._settings = metadata, workers, settings
        self._scratch, self._provenance = scratch, provenance
        self._spill = tempfile.TemporaryDirectory(prefix="qserv-merge-")
        self._merger = Merger(settings.merge_memory_bytes, settings.max_merge_bytes, settings.max_temporary_bytes, self._spill.name)
        self._threads = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="answer")
        self._czar = this_process()
        self._log = QueryLog(metadata, self._czar.czar_id)
        self.running: dict[uuid.UUID, Execution] = {}
        """The queries that are answered now, or wait for others to end."""
        self._admission = Admission(settings)
        self._usage = Usage(settings)
        self._pace = Pace()
        self.metrics = Metrics(lambda: self._admission.running, lambda: self._admission.waiting, workers)
        self._presence = Presence(
            metadata,
            self._czar,
            running=self.running,
            admission=self._admission,
            usage=self._usage,
            lease_s=settings.czar_lease_s,
        )
        self._lookups = Lookups(metadata.url, settings.metadata_silence_s)
        self._catalogues = CatalogueReader(metadata, self._lookups)
        self._engine = Engine(workers, self._merger, scratch, provenance, settings, self._threads, self._located)

    @classmethod
    async def open(cls, cluster: Cluster, secrets: Secrets, settings: Settings) -> Self:
        """Connect to a running cluster."""
        metadata = make_engine(
            cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets), settings.metadata_silence_s
        )
        token = secrets.cluster.get_secret_value()
        workers = {node.node: WorkerClient(node.host, node.worker_port, token, settings.worker_silence_s) for node in cluster.nodes}
        scratch = Scratch(
            cluster.metadata.conninfo(Role.SCRATCH, SCRATCH_DATABASE, secrets),
            cluster.metadata.conninfo(Role.METADATA, SCRATCH_DATABASE, secrets),
            settings.metadata_silence_s,
        )
        await asyncio.to_thread(scratch.prepare)
        readable = cluster.metadata.conninfo(Role.PROVENANCE, METADATA_DATABASE, secrets)
        provenance = Connections(readable, settings.metadata_silence_s, "metadata")
        session = cls(metadata, workers, scratch, provenance, settings)
        await session._presence.start()
        return session

    @property
    def czar_id(self) -> str:
        """Name of this czar among all that share the metadata database."""
        return self._czar.czar_id

    async def catalogue(self) -> Catalogue:
        """Return the published tables, as of now."""
        return await self._catalogues.current()

    async def query(  # noqa: PLR0913 (what is asked, by whom, and how it is to be known)
        self,
        statement: str | exp.Expr,
        *,
        dialect: str = "native",
        user: str = "anonymous",
        max_rows: int | None = None,
        text: str | None = None,
        query_id: uuid.UUID | None = None,
        patient: bool = False,
    ) -> Answer:
        """Answer a query, or tell how with ``EXPLAIN``.

        Parameters
        ----------
        statement
            Text of the native dialect (PostgreSQL's SELECT), or a tree that another dialect was read into.
        dialect, user, text
            For the query log: ``text`` is what the user wrote, if the statement is a tree.
        max_rows
            Rows of the answer at the most; default: as many as an answer may have, and more are an error.
        query_id
            A new one, by which `running` has the query from now on; default: one is made.
        patient
            Wait for as long as it takes where too many queries run, rather than be refused.

        Raises
        ------
        QservError
            Why there is no answer: a `QueryError` for what the user can change.
        """
        written = text if text is not None else _text(statement)
        asked = read_explain(statement) if isinstance(statement, str) and dialect == "native" else None
        execution = Execution(query_id or uuid.uuid4(), user, dialect, written, self._version)
        try:
            await self._begin(execution, patient=patient)
            if asked is not None:
                return await self._explained(asked, execution, max_rows)
            return await self._run(await self._named(statement, dialect, written), execution, max_rows)
        except BaseException as error:
            self._end(execution, Outcome(0, 0, _reason(error)))
            raise

    async def explain(
        self,
        statement: str | exp.Expr,
        *,
        dialect: str = "native",
        text: str | None = None,
        analyze: bool = False,
        user: str = "anonymous",
    ) -> Explanation:
        """Return how a query would be answered, without running it; with ``analyze`` run it, and return what it took."""
        written = text if text is not None else _text(statement)
        if isinstance(statement, str) and dialect == "native" and (asked := read_explain(statement)) is not None:
            statement, analyze = asked.query, analyze or asked.analyze
        if not analyze:
            return await explain_query(await self._named(statement, dialect, written), self._located, self._pace)
        execution = Execution(uuid.uuid4(), user, dialect, written, self._version)
        outcome = Outcome(0, 0, None)
        try:
            await self._begin(execution)
            return await self._measured(await self._named(statement, dialect, written), execution)
        except BaseException as error:
            outcome = Outcome(0, 0, _reason(error))
            raise
        finally:
            self._end(execution, outcome)

    async def write_log(self) -> None:
        """Write what the query log does not have yet: it is some tenths of a second behind."""
        await self._log.flush()

    async def close(self) -> None:
        """Let go of connections, threads and memory."""
        await self._log.close()
        await self._presence.close()
        await self._lookups.close()
        for worker in self._workers.values():
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._scratch.close()
        self._provenance.close()
        self._merger.close()
        self._spill.cleanup()
        await self._metadata.dispose()

    @property
    def _version(self) -> int:
        """Version of the catalogue before which no query is planned that begins now."""
        return self._catalogues.last.version if self._catalogues.last else 0

    async def _named(self, statement: str | exp.Expr, dialect: str, text: str) -> Query:
        """Read a query, and give its names their meanings.

        Nobody waits for the metadata database: the query is read with the catalogue of the last one, and again if that has changed.
        """
        looking_up = asyncio.create_task(self.catalogue())
        looking_up.add_done_callback(_noted)
        await asyncio.sleep(0)  # the metadata database is asked, and answers meanwhile
        known = self._catalogues.last
        try:
            if known is None:
                return await _read(text, _meant, statement, dialect, text, await looking_up)
            try:
                query = await _read(text, _meant, statement, dialect, text, known)
            except QueryError:
                if await looking_up is known:
                    raise
            else:
                if await looking_up is known:
                    return query
            return await _read(text, _meant, statement, dialect, text, await looking_up)
        except RecursionError as error:
            raise QueryLimitError(TOO_DEEP) from error

    async def _located(self, query: Query) -> Query:
        """Ask the director index where the keys of a query are."""
        for restriction in query.keys:
            listed, version = (restriction.database, restriction.director, restriction.keys), query.catalogue.version
            keys, chunks = await self._lookups.chunks_of(*listed, version)
            orphans = restriction.among_orphans(keys)
            count = len(restriction.keys)
            reason = f"{count:,} {'key' if count == 1 else 'keys'} of {restriction.director}"
            query = query.narrowed(orphans.with_chunks(chunks), reason, Access.KEYS)
            if restriction.condition is not None and query.chunk_keys is None and orphans.are_few:
                query = query.asked_by_chunk(restriction.condition, *orphans.with_keys(keys, chunks))
        return replace(query, keys=())

    async def _begin(self, execution: Execution, *, patient: bool = False) -> None:
        """Log a query, and wait until it may run."""
        self.running[execution.query_id] = execution
        self._log.start(execution)
        self._usage.check(execution.user)
        ticket = self._admission.ticket(execution.user)
        execution.watch(ticket)
        await self._admission.enter(ticket, patient=patient)
        execution.ticket = ticket

    def _count(self, execution: Execution, rows: int, size_bytes: int) -> None:
        """Count rows that a reader gets."""
        execution.count(rows, size_bytes)
        self._usage.add(execution.user, rows, size_bytes)

    def _end(self, execution: Execution, outcome: Outcome) -> None:
        if self.running.pop(execution.query_id, None) is None:
            return
        if execution.ticket is not None:
            self._admission.leave(execution.ticket)
        chunk_count = execution.progress.chunk_count
        self._log.end(execution.query_id, outcome, execution.measured.shape if execution.measured else None, chunk_count)
        seconds = (datetime.now(UTC) - execution.submitted).total_seconds()
        self.metrics.ended(execution, outcome, seconds, chunk_count)

    async def _explained(self, asked: ExplainStatement, execution: Execution, max_rows: int | None) -> Answer:
        """Answer a statement that asks for a plan."""
        query = await self._named(asked.query, execution.dialect, asked.query)
        explanation = await (self._measured(query, execution) if asked.analyze else explain_query(query, self._located, self._pace))
        rows = asked.rows(explanation)
        return Answer(
            query_id=execution.query_id.hex,
            outputs=(Output(COLUMN),),
            schema=rows.schema,
            rows=((batch, False) for batch in limited([rows], 0, max_rows)),
            stop=lambda: None,
            ended=lambda outcome: self._end(execution, outcome),
            threads=self._threads,
            max_rows=max_rows,
        )

    def _begun(self, execution: Execution) -> Run:
        run = Run(self._engine, execution.query_id.hex)
        execution.measured = run.measured
        execution.watch(run)
        return run

    async def _measured(self, query: Query, execution: Execution) -> Explanation:
        """Run a query to its end, for what it takes."""
        run = self._begun(execution)
        begun_s = time.monotonic()
        try:
            rows, size_bytes = await run.read_to_end(await run.answer(query, None))
        finally:
            run.close()
        explanation = explain_run(run.measured, self._pace)
        if (nodes := explanation.measured.get("nodes")) and explanation.expected:
            self._pace.learn(explanation.expected.nodes, nodes.seconds)
        total = Measured(rows, size_bytes, time.monotonic() - begun_s)
        return replace(explanation, measured={**explanation.measured, "total": total})

    async def _run(self, query: Query, execution: Execution, max_rows: int | None) -> Answer:
        run = self._begun(execution)
        try:
            rows = await run.answer(query, max_rows)
            return Answer(
                query_id=execution.query_id.hex,
                outputs=query.outputs,
                schema=rows.schema,
                rows=rows.others,
                first=rows.first,
                stop=run.close,
                ended=lambda outcome: self._end(execution, outcome),
                threads=self._threads,
                max_rows=max_rows,
                limit=AnswerLimit(self._settings.max_rows if max_rows is None else None, self._settings.max_answer_bytes),
                count=functools.partial(self._count, execution),
            )
        except BaseException as error:  # the reader going away while the nodes work, too
            run.close()
            if isinstance(error, NotYetSupportedError) and error.place is None:
                # What an output column's type turns out to be is known of the whole query alone.
                raise NotYetSupportedError(str(error), Place(1, 1)) from error
            if isinstance(error, RecursionError):
                raise QueryLimitError(TOO_DEEP) from error
            raise


def _noted(looking_up: asyncio.Task[Catalogue]) -> None:
    """Hear why a look-up failed that nobody waits for, as the text was no query; to cancel it would take a connection more."""
    if not looking_up.cancelled():
        looking_up.exception()


async def _read(text: str, function: Callable[..., Result], *arguments: object) -> Result:
    """Do what takes longer with a longer text, in a thread if that is long."""
    return await asyncio.to_thread(function, *arguments) if len(text) > THREAD_CHARACTERS else function(*arguments)


def _meant(statement: str | exp.Expr, dialect: str, text: str, catalogue: Catalogue) -> Query:
    """Return a query, of a tree of its own, at this moment, whose names mean what a catalogue says."""
    tree = parse(statement, dialect) if isinstance(statement, str) else one_query(statement, text).copy()
    return named(at_moment(tree, datetime.now(UTC)), catalogue, text)


def _text(statement: str | exp.Expr) -> str:
    return statement if isinstance(statement, str) else statement.sql("postgres")


def _reason(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else QueryCancelledError("the reader went away")

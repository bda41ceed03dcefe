"""The whole path of a query: parse -> analyse -> plan -> dispatch -> merge."""

import asyncio
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlglot import exp

from czar.analyse import Query, named
from czar.answer import Answer, Outcome
from czar.catalogue import Catalogue
from czar.catalogue_reader import CatalogueReader
from czar.dialects.moment import at_moment
from czar.execution import Execution
from czar.explain import Explanation, explain_query
from czar.merge import Merger
from czar.parse import TOO_DEEP, one_query, parse
from czar.presence import Presence, this_process
from czar.query_log import QueryLog
from czar.result import result_column
from czar.running import Engine, Run
from czar.scratch import Scratch
from qserv.cluster import METADATA_DATABASE, SCRATCH_DATABASE, Cluster, Role, Secrets
from qserv.errors import QueryCancelledError, QueryLimitError
from qserv.ids import NodeId
from qserv.metadata.engine import make_engine
from qserv.metadata.lookups import Lookups
from qserv.settings import Settings
from workers.client import WorkerClient

READING_THREADS = 64
"""Answers that are read at a time; each holds a thread while it waits for the nodes."""

THREAD_CHARACTERS = 20_000
"""Queries that are longer are analysed in a thread: at seconds a million characters, they would hold up all other requests."""

MERGE_MEMORY_BYTES = 1_000_000_000
"""Memory of DuckDB for all queries together; larger sorts and groups go to disk."""


class Session:
    """A czar: answers queries until it is closed. Make it with `open`."""

    def __init__(self, metadata: AsyncEngine, workers: dict[NodeId, WorkerClient], scratch: Scratch, settings: Settings) -> None:
        self._metadata, self._workers, self._scratch, self._settings = metadata, workers, scratch, settings
        self._spill = tempfile.TemporaryDirectory(prefix="qserv-merge-")
        self._merger = Merger(MERGE_MEMORY_BYTES, self._spill.name)
        self._threads = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="answer")
        self._czar = this_process()
        self._log = QueryLog(metadata, self._czar.czar_id)
        self.running: dict[uuid.UUID, Execution] = {}
        """The queries that are answered now."""
        self._presence = Presence(metadata, self._czar, self.running, settings.czar_lease_s)
        self._lookups = Lookups(metadata.url)
        self._catalogues = CatalogueReader(metadata, self._lookups)
        self._engine = Engine(workers, self._merger, scratch, settings, self._threads, self._located)

    @classmethod
    async def open(cls, cluster: Cluster, secrets: Secrets, settings: Settings) -> Self:
        """Connect to a running cluster."""
        metadata = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
        token = secrets.cluster.get_secret_value()
        workers = {node.node: WorkerClient(node.host, node.worker_port, token) for node in cluster.nodes}
        scratch = Scratch(
            cluster.metadata.conninfo(Role.SCRATCH, SCRATCH_DATABASE, secrets),
            cluster.metadata.conninfo(Role.METADATA, SCRATCH_DATABASE, secrets),
        )
        await asyncio.to_thread(scratch.prepare)
        session = cls(metadata, workers, scratch, settings)
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
    ) -> Answer:
        """Answer a query.

        Parameters
        ----------
        statement
            Text of the native dialect (PostgreSQL's SELECT), or a tree that another dialect was read into.
        dialect, user, text
            For the query log: ``text`` is what the user wrote, if the statement is a tree.
        max_rows
            Rows of the answer at the most.
        query_id
            A new one, by which `running` has the query from now on; default: one is made.

        Raises
        ------
        QservError
            Why there is no answer: a `QueryError` for what the user can change.
        """
        written = text if text is not None else _text(statement)
        execution = Execution(query_id or uuid.uuid4(), user, dialect, written)
        self.running[execution.query_id] = execution
        self._log.start(execution)
        try:
            query = await self._named(statement, dialect, written)
            return await self._run(query, execution, max_rows)
        except BaseException as error:
            self._end(execution, Outcome(0, 0, _reason(error)), 0)
            raise

    async def explain(self, statement: str | exp.Expr, *, dialect: str = "native", text: str | None = None) -> Explanation:
        """Return how a query would be answered, without running it."""
        written = text if text is not None else _text(statement)
        return await explain_query(await self._named(statement, dialect, written), self._located)

    async def close(self) -> None:
        """Let go of connections, threads and memory."""
        await self._log.close()
        await self._presence.close()
        await self._lookups.close()
        for worker in self._workers.values():
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._scratch.close()
        self._merger.close()
        self._spill.cleanup()
        await self._metadata.dispose()

    async def _named(self, statement: str | exp.Expr, dialect: str, text: str) -> Query:
        """Read a query, and give its names their meanings."""
        catalogue = await self.catalogue()
        try:
            if len(text) > THREAD_CHARACTERS:
                return await asyncio.to_thread(_read, statement, dialect, catalogue, text)
            return _read(statement, dialect, catalogue, text)
        except RecursionError as error:
            raise QueryLimitError(TOO_DEEP) from error

    async def _located(self, query: Query) -> Query:
        """Ask the director index where the keys of a query are."""
        for restriction in query.keys:
            chunks = await self._lookups.chunks_of(restriction.database, restriction.director, restriction.keys)
            count = len(restriction.keys)
            query = query.narrowed(np.unique(chunks), f"{count:,} {'key' if count == 1 else 'keys'} of {restriction.director}")
        return replace(query, keys=())

    def _end(self, execution: Execution, outcome: Outcome, chunk_count: int) -> None:
        self.running.pop(execution.query_id, None)
        self._log.end(execution.query_id, outcome, chunk_count)

    async def _run(self, query: Query, execution: Execution, max_rows: int | None) -> Answer:
        run = Run(self._engine, execution.query_id.hex)
        execution.watch(run)
        try:
            rows = await run.answer(query, max_rows)
            for output, field in zip(query.outputs, rows.schema, strict=False):  # hidden columns for ORDER BY may follow
                result_column(output, field.type)
        except BaseException as error:  # the reader going away while the nodes work, too
            run.close()
            if isinstance(error, RecursionError):
                raise QueryLimitError(TOO_DEEP) from error
            raise
        return Answer(
            query_id=execution.query_id.hex,
            outputs=query.outputs,
            schema=rows.schema,
            rows=rows.batches,
            stop=run.close,
            ended=lambda outcome: self._end(execution, outcome, run.chunks_total),
            threads=self._threads,
            max_rows=max_rows,
        )


def _read(statement: str | exp.Expr, dialect: str, catalogue: Catalogue, text: str) -> Query:
    tree = parse(statement, dialect) if isinstance(statement, str) else one_query(statement, text)
    return named(at_moment(tree.copy(), datetime.now(UTC)), catalogue, text)


def _text(statement: str | exp.Expr) -> str:
    return statement if isinstance(statement, str) else statement.sql("postgres")


def _reason(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else QueryCancelledError("the reader went away")

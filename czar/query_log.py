"""Writes the query log behind the queries' backs: several queries in one transaction, none waits for it."""

import asyncio
import logging
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from czar.answer import Outcome
from czar.execution import Execution
from qserv.errors import MetadataError, QservError, QueryCancelledError
from qserv.metadata.engine import connect
from qserv.metadata.query_log import QueryEnd, QueryStart, write_queries

FLUSH_S = 0.2
"""How long a query may be missing in the log. Writing each at once cost a cone a third of its CPU time."""

MAX_WAITING = 10_000
"""Queries that wait for a metadata database that does not answer; older ones are given up, which the service's own log tells."""

logger = logging.getLogger("czar.query_log")


class QueryLog:
    """The log of one czar. Call its methods from one event loop."""

    def __init__(self, metadata: AsyncEngine, czar_id: str) -> None:
        self._metadata, self._czar_id = metadata, czar_id
        self._new: dict[UUID, tuple[QueryStart, QueryEnd | None]] = {}
        self._ended: dict[UUID, QueryEnd] = {}
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def start(self, query: Execution) -> None:
        """Note that a query was submitted."""
        # PostgreSQL's text has no NUL.
        clean = query.text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        start = QueryStart(query.query_id, query.user, query.dialect, clean, query.submitted, self._czar_id)
        self._new[query.query_id] = (start, None)
        self._wake()

    def end(self, query_id: UUID, outcome: Outcome, plan_shape: str | None, chunk_count: int) -> None:
        """Note how a query ended."""
        cancelled = isinstance(outcome.error, QueryCancelledError)
        end = QueryEnd(
            state="completed" if outcome.error is None else "aborted" if cancelled else "error",
            ended=datetime.now(UTC),
            plan_shape=plan_shape,
            chunk_count=chunk_count,
            row_count=outcome.rows,
            byte_count=outcome.size_bytes,
            error=None if outcome.error is None else str(outcome.error).replace("\0", ""),
            error_code=outcome.error.code if isinstance(outcome.error, QservError) else None,
        )
        if query_id in self._new:
            self._new[query_id] = (self._new[query_id][0], end)
        else:
            self._ended[query_id] = end
        self._wake()

    async def close(self) -> None:
        """Write what is waiting, and end."""
        if self._writing is not None:
            await self._writing
        await self.flush()

    async def flush(self) -> None:
        """Write what is waiting. What is being written meanwhile is written, too, when this returns."""
        async with self._turn:
            await self._write()

    def _wake(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_soon())

    async def _write_soon(self) -> None:
        while self._new or self._ended:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def _write(self) -> None:
        new, ended = self._new, self._ended
        if not new and not ended:
            return
        self._new, self._ended = {}, {}
        try:
            async with connect(self._metadata) as connection:
                await write_queries(connection, list(new.values()), list(ended.items()))
                await connection.commit()
        except MetadataError as error:
            kept = dict(list((new | self._new).items())[-MAX_WAITING:])
            lost = len(new) + len(self._new) - len(kept)
            logger.warning("the query log waits for the metadata database (%d queries given up): %s", lost, error)
            self._new, self._ended = kept, ended | self._ended

"""The files of a table -> runs on the nodes: read, checked, given chunks, sorted, sent, and written down."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.chunking import ChunkedRows, chunk_director_rows, whole_rows
from ingest.dependents import Dependents, Directors, KeptOrphans, place_pairs
from ingest.family import Family
from ingest.inputs import Input
from ingest.provenance import Keys, Load, digest
from ingest.rejects import Rejects
from ingest.report import Progress, ProgressCallback, Stage
from ingest.rows import Rows, read_rows
from ingest.sending import Sender
from ingest.sorting import Gathered, Run
from ingest.staging import Staging
from qserv.ids import REPLICATED_CHUNK
from qserv.metadata.director_index import begin_index, complete_index
from qserv.metadata.engine import changing
from qserv.metadata.transactions import Contribution
from schema.model import Table, TableRole
from schema.types import row_schema

T = TypeVar("T")


@dataclass(frozen=True)
class Taking:
    """Takes the files of one table after the other."""

    engine: AsyncEngine
    family: Family
    staging: Staging
    load: Load
    rejects: Rejects
    progress: ProgressCallback
    run_bytes: int
    orphans: KeptOrphans = field(default_factory=KeptOrphans)
    """Those of the dependent that is taken."""

    async def take(self, source: Input, sender: Sender) -> int:
        """Take the files of a table; return how many rows they have. Their rows wait on the nodes then.

        Raises
        ------
        BadFileError, BadRowError
            A file or a row is not what it should be.
        IngestError
            A director's key occurs twice.
        StorageFullError, NodeUnavailableError
            From a node.
        """
        table, done = source.table, 0
        gathered = Gathered(row_schema(table), self.run_bytes)
        index = (self.staging.home(table.name), table.name)
        if table.role is TableRole.DIRECTOR:
            async with changing(self.engine, "ingest.index.begin") as connection:
                await begin_index(connection, *index)
        async with _Behind() as behind:
            for file, matching in source.files:
                before, set_aside = done, self.rejects.counts[table.name]
                read = read_rows(table, file, matching, self.rejects.of(table.name))
                async with contextlib.aclosing(_read_ahead(read)) as batches:
                    async for rows in batches:
                        chunked = await self._assign(table, rows)
                        gathered.add(chunked)
                        done += chunked.batch.num_rows
                        self.progress(Progress(table.name, Stage.READING, done, source.row_count))
                        if gathered.full:
                            await behind.do(self._send(table, await asyncio.to_thread(gathered.take), sender))
                size_bytes, sha256 = await digest(file.path)
                rejected = self.rejects.counts[table.name] - set_aside
                gathered.end(Contribution(table.name, str(file.path), size_bytes, sha256, done - before, rejected))
            while not gathered.empty:
                await behind.do(self._send(table, await asyncio.to_thread(gathered.take), sender))
        if table.role is TableRole.DIRECTOR:
            async with changing(self.engine, "ingest.index.complete") as connection:
                await complete_index(connection, *index)
        return done

    async def _assign(self, table: Table, rows: Rows) -> ChunkedRows:
        match table.role:
            case TableRole.DIRECTOR:
                return await asyncio.to_thread(chunk_director_rows, rows, self.family.chunk_map, self.family.overlap_deg)
            case TableRole.DEPENDENT:
                return await self._dependents(table, trusting=self.trusts(table)).place(rows, self.rejects.of(table.name))
            case TableRole.REF_MATCH:
                return await place_pairs(rows, table, self._directors, self.rejects.of(table.name))
            case TableRole.REPLICATED:
                return whole_rows(rows, np.full(rows.batch.num_rows, REPLICATED_CHUNK, dtype=np.int64))

    def trusts(self, table: Table) -> bool:
        """Whether rows are placed by what they say of their directors: not where a row may be set aside, or kept elsewhere."""
        return bool(table.position_of_director) and not (table.keeps_orphans or self.rejects.allowed)

    async def name_stray(self, source: Input) -> None:
        """Read the files of a dependent again, for the row that is not where its director is.

        Raises
        ------
        BadRowError
            The first such row.
        """
        dependents = self._dependents(source.table, trusting=False)
        for file, matching in source.files:
            async with contextlib.aclosing(_read_ahead(read_rows(source.table, file, matching))) as batches:
                async for rows in batches:
                    await dependents.place(rows)

    @property
    def _directors(self) -> Directors:
        return Directors(self.engine, self.staging)

    def _dependents(self, table: Table, *, trusting: bool) -> Dependents:
        return Dependents(table, self.family.chunk_map, self._directors, trusting, self.orphans)

    async def _send(self, table: Table, run: Run, sender: Sender) -> None:
        """Send a run and write down that it counts."""
        number = await self.load.new_run(sender.table)
        await sender.send(number, run)
        keys: Keys | None = None
        if table.role is TableRole.DIRECTOR:
            column = run.base.rows.column(str(table.director_key)).cast(pa.int64())
            keys = (self.staging.home(table.name), table.name, column.to_numpy(), run.base.chunks)
        await self.load.take(number, run.ended, keys)


class _Behind:
    """Does one thing while its caller goes on, who waits for it before the next one begins, and at the end of the block."""

    _task: "asyncio.Task[None] | None" = None

    async def do(self, work: Coroutine[object, object, None]) -> None:
        """Begin work, when what was begun before is done."""
        try:
            await self._done()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.ensure_future(work)

    async def _done(self) -> None:
        if self._task is not None:
            await self._task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        try:
            if error is None:
                await self._done()
        finally:
            if self._task is not None:
                self._task.cancel()  # does nothing to one that is done
                await asyncio.gather(self._task, return_exceptions=True)


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

"""The files of a table -> runs on the nodes: read, checked, given chunks, sorted, sent, and written down."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.chunking import ChunkedRows, chunk_director_rows, whole_rows
from ingest.dependents import Dependents, Directors, KeptOrphans, place_pairs, shown
from ingest.family import Family
from ingest.formats.source import SourceFile
from ingest.inputs import Input
from ingest.matching import Matching
from ingest.provenance import Digest, Keys, Load, digesting
from ingest.rejects import Rejects
from ingest.report import Progress, ProgressCallback, Stage
from ingest.rows import Rows, SetAside, read_rows
from ingest.sending import Sender
from ingest.sorting import Gathered, Unsorted
from ingest.staging import Staging
from ingest.versions import Following
from qserv.ids import REPLICATED_CHUNK
from qserv.metadata.transactions import Contribution
from schema.model import Table, TableRole
from schema.types import row_schema

T = TypeVar("T")


@dataclass(frozen=True)
class Where:
    """Where rows go: the family and the tables, and the load that takes them there, in runs of so many bytes."""

    engine: AsyncEngine
    family: Family
    staging: Staging
    load: Load
    run_bytes: int

    @property
    def directors(self) -> Directors:
        """Where the rows of directors are."""
        return Directors(self.engine, self.staging)


@dataclass(frozen=True)
class Part:
    """A file to be taken, or a part of one.

    Attributes
    ----------
    contribution_id
        Its number, if it has one yet.
    sent
        Whether it was sent by itself into an open transaction.
    whole
        Whether it is all of its file. Who has all parts of a file taken writes down that it is.
    """

    file: SourceFile
    matching: Matching
    contribution_id: int | None = None
    sent: bool = False
    whole: bool = True


class Taking:
    """Takes the rows of a table, file after file, within an ``async with`` block; `flush` sends what is left.

    Parameters
    ----------
    total
        Rows of all files, where that is known.
    trusting
        Whether dependents are placed by the position that they carry, for the nodes to check.
    """

    def __init__(  # noqa: PLR0913 (what is taken, where to, who is told)
        self,
        table: Table,
        sender: Sender,
        where: Where,
        progress: ProgressCallback,
        total: int | None = None,
        *,
        trusting: bool = False,
    ) -> None:
        self.orphans = KeptOrphans()
        """Rows that were kept though their director is not there."""
        self._dependents = Dependents(table, where.family, where.directors, trusting, self.orphans)
        self._table, self._sender, self._where, self._progress, self._total = table, sender, where, progress, total
        self._gathered = Gathered(row_schema(table), where.run_bytes)
        self._sending, self._writing = _Behind(), _Behind()
        self.rows = 0
        """Rows that were taken."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        try:
            await self._sending.end(error)
        finally:
            await self._writing.end(error)

    async def take(self, part: Part, rejects: Rejects) -> None:
        """Take a file; its rows are sent with those of the files after it, or when there are many; those of a part are sent now.

        Raises
        ------
        BadFileError, BadRowError
            The file or a row is not what it should be.
        IngestError
            A director's key occurs twice.
        StorageFullError, NodeUnavailableError
            From a node.
        """
        table, before = self._table, self.rows
        set_aside = rejects.counts[table.name]
        number = part.contribution_id or await self._where.load.new_contribution()
        piece_of = number if part.sent else None
        rows_read = read_rows(table, part.file, part.matching, rejects.of(table.name), number)
        if not part.whole:
            await self._read(rows_read, rejects, piece_of)
            while not self._gathered.empty:
                await self._send(piece_of)
            return
        async with digesting(part.file.path) as digested:
            await self._read(rows_read, rejects, piece_of)
            numbered, rejected = replace(part, contribution_id=number), rejects.counts[table.name] - set_aside
            self._gathered.end(contribution(table, numbered, self.rows - before, rejected, await digested))

    async def _read(self, rows_read: Iterator[Rows], rejects: Rejects, piece_of: int | None) -> None:
        name, take_aside = self._table.name, rejects.of(self._table.name)
        async with contextlib.aclosing(_read_ahead(rows_read)) as batches:
            async for rows in batches:
                chunked = await self._assign(rows, take_aside)
                self._gathered.add(chunked)
                self.rows += chunked.batch.num_rows
                self._progress(Progress(name, Stage.READING, self.rows, self._total))
                if self._gathered.full:
                    await self._send(piece_of)

    async def flush(self) -> None:
        """Send what is left; when this returns, all rows wait on the nodes."""
        while not self._gathered.empty:
            await self._send(None)
        await self._sending.end(None)
        await self._writing.end(None)

    async def _assign(self, rows: Rows, take_aside: SetAside) -> ChunkedRows:
        table, where = self._table, self._where
        if table.role is TableRole.DIRECTOR and table.versions is not None and where.load.appends:
            return await Following(table, table.versions, where.family, where.directors).place(rows, take_aside)
        match table.role:
            case TableRole.DIRECTOR:
                return await asyncio.to_thread(chunk_director_rows, rows, where.family.chunk_map, where.family.overlap_deg)
            case TableRole.DEPENDENT:
                return await self._dependents.place(rows if where.load.appends else shown(rows, table, take_aside), take_aside)
            case TableRole.REF_MATCH:
                return await place_pairs(rows, table, where.directors, take_aside)
            case TableRole.REPLICATED:
                return whole_rows(rows, np.full(rows.batch.num_rows, REPLICATED_CHUNK, dtype=np.int64))

    async def _send(self, piece_of: int | None) -> None:
        """Begin to send a run, when the one before it is sent."""
        rows = self._gathered.take()
        # A run of whole contributions counts by itself; one without any is a piece of the one that is read.
        await self._sending.do(self._sent(rows, None if rows.ended else piece_of))

    async def _sent(self, rows: Unsorted, piece_of: int | None) -> None:
        """Sort a run, send it and begin to write down that it counts, when that of the one before it is written down."""
        load, table = self._where.load, self._table
        run = await asyncio.to_thread(rows.sort)
        number = await load.new_run(self._sender.table)
        await self._sender.send(number, run)
        keys: Keys | None = None
        if table.role is TableRole.DIRECTOR:
            column = run.base.rows.column(str(table.director_key)).cast(pa.int64())
            new = np.ones(len(column), dtype=np.bool_)
            if table.versions is not None and load.appends:
                _, known = await self._where.directors.find(table.name, column)
                new = ~known
            found, chunks = column.to_numpy()[new], run.base.chunks[new]
            # Ascending, so that two who bring the same keys do not wait for each other.
            order = np.argsort(found, kind="stable")
            keys = (self._where.staging.home(table.name), table.name, found[order], chunks[order])
        await self._writing.do(load.take(number, run.ended, keys, piece_of))


def contribution(table: Table, part: Part, rows: int, rejected: int, found: Digest) -> Contribution:
    """Return what is written down of a file, all rows of which are taken."""
    facts = (table.name, str(part.file.path), *found, rows, rejected)
    return Contribution(*facts, part.contribution_id or 0, sent=part.sent)


async def name_stray(where: Where, source: Input) -> None:
    """Read the files of a dependent again, for the row that is not where its director is.

    Raises
    ------
    BadRowError
        The first such row.
    """
    dependents = Dependents(source.table, where.family, where.directors, trusting=False)
    for file, matching in source.files:
        async with contextlib.aclosing(_read_ahead(read_rows(source.table, file, matching))) as batches:
            async for rows in batches:
                await dependents.place(rows)


class _Behind:
    """Does one thing while its caller goes on, who waits for it before the next one begins."""

    _task: "asyncio.Task[None] | None" = None

    async def do(self, work: Coroutine[object, object, None]) -> None:
        """Begin work, when what was begun before is done."""
        try:
            await self._done()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.ensure_future(work)

    async def end(self, error: BaseException | None) -> None:
        """Wait for what was begun; after an error, stop it."""
        try:
            if error is None:
                await self._done()
        finally:
            if self._task is not None:
                self._task.cancel()  # does nothing to one that is done
                await asyncio.gather(self._task, return_exceptions=True)

    async def _done(self) -> None:
        if self._task is not None:
            await self._task


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

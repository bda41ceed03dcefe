"""The files of a table -> runs on the nodes, by several processes at once where there is much to read."""

import asyncio
import contextlib
import pickle
import sys
from asyncio.subprocess import PIPE
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ingest.formats.source import CELL_BYTES, explained
from ingest.nodes import all_or_first_error
from ingest.provenance import digest
from ingest.readers.messages import LENGTH, Job, Reading, Taken
from ingest.rejects import Rejects
from ingest.report import Progress, ProgressCallback, Stage
from ingest.sending import Sender
from ingest.taking import Part, Taking, Where, contribution
from qserv.errors import IngestLostError, QservError
from schema.model import Table, TableRole

MOST_READERS = 32
"""Each has a connection to the metadata database."""

MOST_READERS_UNASKED = 16
"""Each takes up to a gigabyte of memory."""

JOB_RUNS = 4
"""Runs that the rows of a job fill at the least, where there are so many: the last run of a job is smaller than the others."""


class Readers:
    """Processes that may read at a time, for all tables that are read."""

    def __init__(self, most: int = 1) -> None:
        self._free = min(most, MOST_READERS)

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return self._free > 1

    @contextmanager
    def lent(self, wanted: int) -> Iterator[int]:
        """Lend some, one at the least: what is read beside what others read must go on, too."""
        count = max(min(wanted, self._free), 1)
        self._free -= count
        try:
            yield count
        finally:
            self._free += count


ALONE = Readers()
"""Lets the process itself read: where rows may be set aside, it counts them."""


@dataclass(frozen=True)
class Files:
    """Files of a table that are to be taken.

    Attributes
    ----------
    rejects
        Takes the bad rows of a file.
    rows
        Of all files, where that is known.
    trusting
        Whether dependents are placed by the position that they carry, for the nodes to check.
    """

    table: Table
    parts: Sequence[Part]
    rejects: Callable[[Part], Rejects]
    readers: Readers = ALONE
    rows: int | None = None
    trusting: bool = False


async def take_files(files: Files, sender: Sender, where: Where, told: ProgressCallback) -> Taken:
    """Take files of a table; when this returns, all rows wait on the nodes.

    Raises
    ------
    BadFileError, BadRowError
        A file or a row is not what it should be.
    IngestError
        A director's key occurs twice.
    StorageFullError, NodeUnavailableError
        From a node.
    IngestLostError
        A process that read died.
    """
    if files.readers.several and len(await asyncio.to_thread(jobs, files.parts, where.run_bytes)) > 1:
        return await _Together(files, sender, where, told).take()
    async with Taking(files.table, sender, where, told, files.rows, trusting=files.trusting) as taking:
        for part in files.parts:
            await taking.take(part, files.rejects(part))
        await taking.flush()
    return Taken(taking.rows, Counter(), sender.chunks, taking.orphans)


def jobs(parts: Iterable[Part], run_bytes: int) -> list[Job]:
    """Return files, divided and put together, so that the rows of each job fill `JOB_RUNS` runs or somewhat more.

    Raises
    ------
    BadFileError
        A file is not there any more.
    """
    found, small, size, wanted = list[Job](), list[Part](), 0, JOB_RUNS * run_bytes
    for part in parts:
        if is_large(part, run_bytes):
            divided = part.file.parts(max(wanted // _row_bytes(part), 1))
            found += [(replace(part, file=each, whole=len(divided) == 1),) for each in divided]
            continue
        small.append(part)
        size += _bytes_of(part, wanted)
        if size >= wanted:
            found.append(tuple(small))
            small, size = [], 0
    return [*found, tuple(small)] if small else found


def is_large(part: Part, run_bytes: int) -> bool:
    """Whether a file is more than one job."""
    return _bytes_of(part, 0) >= 2 * JOB_RUNS * run_bytes


def _row_bytes(part: Part) -> int:
    return CELL_BYTES * max(len(part.matching.needed), 1)


def _bytes_of(part: Part, unknown: int) -> int:
    """Return about how many bytes the rows of a file take in memory; of one that does not tell, its own size, if that is known."""
    if part.file.row_count is not None:
        return part.file.row_count * _row_bytes(part)
    if not isinstance(part.file.path, Path):
        return unknown
    with explained(part.file.path):
        return part.file.path.stat().st_size


@dataclass
class _Together:
    """Several processes that take the files of a table."""

    files: Files
    sender: Sender
    where: Where
    told: ProgressCallback
    _waiting: deque[Job] = field(default_factory=deque)
    _left: Counter[int] = field(default_factory=Counter)
    """How many parts of each contribution are not taken yet."""
    _taken: Taken = field(default_factory=Taken)
    _rows: int = 0
    """Rows that were read so far."""

    async def take(self) -> Taken:
        """Take them; the first error ends all processes."""
        self._waiting.extend(
            await asyncio.to_thread(jobs, [await self._numbered(part) for part in self.files.parts], self._run_bytes)
        )
        self._left.update(part.contribution_id or 0 for job in self._waiting for part in job if not part.whole)
        with self.files.readers.lent(len(self._waiting)) as count:
            await all_or_first_error(self._take_some() for _ in range(count))
        for node, chunks in self._taken.chunks.items():
            self.sender.chunks.setdefault(node, set()).update(chunks)
        return self._taken

    @property
    def _run_bytes(self) -> int:
        return self.where.run_bytes

    async def _numbered(self, part: Part) -> Part:
        """Give a file that may be divided the number that all of its parts have."""
        if part.contribution_id is not None or not await asyncio.to_thread(is_large, part, self._run_bytes):
            return part
        return replace(part, contribution_id=await self.where.load.new_contribution())

    async def _take_some(self) -> None:
        """Let a process take what waits, job by job."""
        async with _reader(self._reading()) as reader:
            while self._waiting:
                job, rows = self._waiting.popleft(), 0
                reader.begin(job)
                while not isinstance(said := await reader.said(), Taken):
                    self._rows, rows = self._rows + said - rows, said
                    self.told(Progress(self.files.table.name, Stage.READING, self._rows, self.files.rows))
                self._taken.add(said)
                if not job[0].whole:
                    await self._part_taken(job[0])

    async def _part_taken(self, part: Part) -> None:
        """Write down that a file is taken, if this was the last part of it."""
        load, table, number = self.where.load, self.files.table, part.contribution_id or 0
        self._left[number] -= 1
        if self._left[number]:
            return
        none = np.empty(0, np.int64)
        keys = (self.where.staging.home(table.name), table.name, none, none) if table.role is TableRole.DIRECTOR else None
        ended = contribution(table, part, self._taken.of_parts[number], 0, await asyncio.to_thread(digest, part.file.path))
        await load.take(await load.new_run(self.sender.table), [ended], keys)

    def _reading(self) -> Reading:
        where, sender = self.where, self.sender
        return Reading(
            where.engine.url.render_as_string(hide_password=False),
            sender.nodes.secret,
            sender.nodes.listed,
            self.files.table,
            sender.table,
            where.family,
            where.staging,
            sender.transaction,
            where.load.name,
            sender.placement.replicas,
            where.run_bytes,
            self.files.trusting,
        )


@dataclass(frozen=True)
class _Reader:
    """A process that takes files."""

    source: asyncio.StreamReader
    jobs: asyncio.StreamWriter

    def begin(self, message: Reading | Job) -> None:
        """Tell it what to do; if it has died, `said` tells."""
        with contextlib.suppress(OSError, RuntimeError):  # the latter of uvloop
            self.jobs.write(pickle.dumps(message))

    async def said(self) -> int | Taken:
        """Return what it says: how many rows it has of a job, or that it is done with it.

        Raises
        ------
        QservError
            It is not.
        IngestLostError
            It died.
        """
        try:
            (length,) = LENGTH.unpack(await self.source.readexactly(LENGTH.size))
            said: int | Taken | QservError = pickle.loads(await self.source.readexactly(length))  # noqa: S301 (this process started it)
        except asyncio.IncompleteReadError as error:
            msg = "a process that read files for this load ended without a word; see the log of the ingest service"
            raise IngestLostError(msg) from error
        if isinstance(said, QservError):
            raise said
        return said


@asynccontextmanager
async def _reader(reading: Reading) -> AsyncIterator[_Reader]:
    """Lend a process; what it does at the end of the block is given up."""
    try:
        process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", "ingest.readers", stdin=PIPE, stdout=PIPE)
    except OSError as error:
        msg = f"a process that reads files cannot be started: {error}; set QSERV_INGEST_READERS to fewer"
        raise IngestLostError(msg) from error
    try:
        if process.stdout is None or process.stdin is None:
            raise IngestLostError
        reader = _Reader(process.stdout, process.stdin)
        reader.begin(reading)
        yield reader
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # what it said last is in the way of its end

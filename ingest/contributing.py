"""Contributions that were sent into an open transaction -> runs on the nodes."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from ingest.formats.source import ReadOptions, SourceFile
from ingest.inputs import LOAD_ORDER, open_input
from ingest.locations import located
from ingest.making import Making
from ingest.matching import Matching
from ingest.readers.pool import Files, Readers, take_files
from ingest.rejects import Rejects
from ingest.report import Progress
from ingest.sending import Sender
from ingest.taking import Part, Where
from qserv.api.errors import INTERNAL
from qserv.errors import IngestError, InternalError, LoadCancelledError, QservError
from qserv.metadata import contributions
from qserv.metadata.contributions import ContributionState, SentFile
from qserv.metadata.engine import changing, connect
from schema.model import Database, Table
from schema.types import row_schema

BATCH_FILES = 100
"""Files that are taken together: so small ones share runs, and what is read again after an error is not much."""

MOST_TRIES = 5
RETRY_S = 2.0
"""What failed for a reason that may pass is tried so often: again after this time, then after twice as long, and so on."""

MOST_BEGUN = 10
"""How often a file is begun that the process ends with."""

_READING = TypeAdapter(ReadOptions)

log = structlog.get_logger("ingest.contributions")


@dataclass
class Contributing:
    """Takes contributions, those of directors before those of what hangs on them.

    Attributes
    ----------
    table_ids
        By the tables' names.
    rejects
        Directory of the files that name rows which were set aside.
    max_bad_rows
        Rows of a file that may be set aside.
    readers
        Processes that read files, where there is much to read.
    """

    database: Database
    making: Making
    where: Where
    table_ids: Mapping[str, int]
    rejects: Path
    max_bad_rows: int
    readers: Readers
    _alone: set[int] = field(default_factory=set)
    """Files that are taken by themselves, because one of those taken with them was wrong."""
    _not_before_s: dict[int, float] = field(default_factory=dict)
    """When a file that failed may be tried again, on the clock of `time.monotonic`."""

    async def begin(self) -> None:
        """Let files wait again that an earlier process was reading: one by one, as it may have died of one; not for ever."""
        left = [file for file in await self.sent() if file.state is ContributionState.READING]
        self._alone.update(file.contribution_id for file in left)
        for file in left:
            if file.attempt >= MOST_BEGUN:
                msg = f"the service ended {file.attempt} times while it read this; see its log, then send it again"
                await self._fail(file, IngestError(msg))
        await self._give_back()

    async def _give_back(self) -> None:
        async with changing(self.making.engine, "service.contribution.give_back") as connection:
            await contributions.give_back(connection, self.making.load.transaction_id)

    async def sent(self) -> list[SentFile]:
        """Return the files of all contributions, in the order in which they were sent."""
        async with connect(self.making.engine) as connection:
            return await contributions.of_transaction(connection, self.making.load.transaction_id)

    async def take(self, waiting: Sequence[SentFile]) -> float:
        """Take some of the files that wait; return after how many seconds to go on, as one that failed may be tried then."""
        order = {table.name: LOAD_ORDER.index(table.role) for table in self.database.tables}
        first = min(waiting, key=lambda file: (order[file.table_name], file.contribution_id)).table_name
        of_table = [file for file in waiting if file.table_name == first]
        wait_s = {file.contribution_id: self._not_before_s.get(file.contribution_id, 0.0) - time.monotonic() for file in of_table}
        ready = [file for file in of_table if wait_s[file.contribution_id] <= 0]
        if not ready:
            return min(wait_s.values())
        together = [file for file in ready if file.contribution_id not in self._alone][:BATCH_FILES]
        await self._take(self.database.by_name[first], together or ready[:1])
        return 0.0

    async def _take(self, table: Table, files: Sequence[SentFile]) -> None:
        making = self.making
        async with changing(making.engine, "service.contribution.begin") as connection:
            await contributions.begin(connection, [file.contribution_id for file in files])
            done, _ = (await contributions.rows_of(connection, making.load.transaction_id)).get(table.name, (0, 0))
        sender = Sender(
            making.nodes, making.load.transaction_id, self.table_ids[table.name], row_schema(table), making.placement_of(table)
        )

        def told(progress: Progress) -> None:
            making.progress(replace(progress, done=done + progress.done))

        def rejects(part: Part) -> Rejects:
            return Rejects(rejects_of(self.rejects, part.contribution_id or 0), self.max_bad_rows)

        try:
            opened = [await self._opened(table, file, alone=len(files) == 1) for file in files]
            parts = [part for part in opened if part is not None]
            await take_files(Files(table, parts, rejects, self.readers), sender, self.where, told)
        except QservError as error:
            await self._failed(files, error)
        except Exception:  # a mistake of ours: its contribution has failed, others go on
            log.exception("contribution failed", contributions=[file.name for file in files])
            await self._failed(files, InternalError(INTERNAL))
        else:
            self._alone.difference_update(file.contribution_id for file in files)

    async def _opened(self, table: Table, file: SentFile, *, alone: bool) -> Part | None:
        """Open a file; one that cannot be opened fails by itself, and others go on, unless it may be opened later."""
        try:
            return Part(*await asyncio.to_thread(_open, table, file), file.contribution_id, sent=True)
        except QservError as error:
            if alone or error.retryable:
                raise
            await self._fail(file, error)
            return None

    async def _failed(self, files: Sequence[SentFile], error: QservError) -> None:
        """Take several again one by one, to find the one that is wrong; try one again if that may help, or give it up."""
        await self._give_back()
        if len(files) > 1:
            self._alone.update(file.contribution_id for file in files)
            return
        (file,) = files
        if isinstance(error, LoadCancelledError):
            return
        if error.retryable and file.attempt + 1 < MOST_TRIES:
            log.warning("contribution is tried again", contribution=file.name, code=error.code, reason=str(error))
            self._not_before_s[file.contribution_id] = time.monotonic() + RETRY_S * 2**file.attempt
            return
        await self._fail(file, error)

    async def _fail(self, file: SentFile, error: QservError) -> None:
        log.warning("contribution failed", contribution=file.name, code=error.code, reason=str(error))
        message = str(self.where.staging.as_users_know(error))
        async with changing(self.making.engine, "service.contribution.fail") as connection:
            await contributions.fail(connection, file.contribution_id, message, error.code)


def waits(file: SentFile) -> bool:
    """Whether a file is to be taken."""
    return file.state is ContributionState.QUEUED


def rejects_of(directory: Path, contribution_id: int) -> Path:
    """Return the file that names the rows of a contribution's file which were set aside."""
    return directory / f"contribution-{contribution_id}.jsonl"


def _open(table: Table, file: SentFile) -> tuple[SourceFile, Matching]:
    if file.request is None:
        msg = f"nobody knows where the rows of contribution {file.name} are"
        raise InternalError(msg)
    (location,) = located(file.request["word"])
    return open_input(table, location, _READING.validate_python(file.request["reading"]))

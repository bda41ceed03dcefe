"""Files that come with requests: until one has come wholly, it is a file without a name that counts for nothing."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from ingest.formats.source import DEFAULT, ReadOptions
from ingest.service.models import ContributionFile, ContributionInfo
from qserv.errors import IngestError, LoadCancelledError, StorageFullError
from qserv.metadata.contributions import ContributionState

UNFINISHED = ".receiving-"
"""Begin of the name of a file that has not come wholly: no transaction has such a name."""

SHOWN_CHARACTERS = 200
"""Of the name that a file has where it comes from."""


@dataclass(frozen=True)
class Upload:
    """A file that comes with a request: its table, its name where it comes from, by whose ending CSV is known, how it is read.

    Of rows that come as a stream, the columns are known before the first one, and how many have come.
    """

    table: str
    file_name: str
    reading: ReadOptions = DEFAULT
    schema: pa.Schema | None = None
    rows: Callable[[], int] = int

    @property
    def source(self) -> str:
        """Its name as it can be stored and shown: the last part of the one that it has where it comes from."""
        name = "".join(filter(str.isprintable, self.file_name.rpartition("/")[2]))
        return f"upload:{name[:SHOWN_CHARACTERS]}"


@dataclass(eq=False)
class Arrival:
    """A file that comes now."""

    transaction: str
    name: str
    upload: Upload
    task: "asyncio.Task[object] | None"
    size_bytes: int = 0
    cancelled: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def info(self) -> ContributionInfo:
        """How much of it has come."""
        state = ContributionState.CANCELLED if self.cancelled else ContributionState.RECEIVING
        table, source, rows = self.upload.table, self.upload.source, self.upload.rows()
        file = ContributionFile(
            source=source, state=state, attempt=0, size_bytes=self.size_bytes, sha256=None, rows=rows, rejected=0, error=None
        )
        return ContributionInfo(name=self.name, table=table, state=state, rows=rows, rejected=0, files=(file,))

    async def cancel(self) -> None:
        """Let it come no further; return when it does not."""
        if not self.cancelled and self.task is not None:
            self.cancelled = True
            self.task.cancel()
        await self.over.wait()


class Arrivals:
    """All files that come now.

    Parameters
    ----------
    directory
        Where they are until they have come wholly.
    silence_s
        For so long, who sends one may send nothing.
    """

    def __init__(self, directory: Path, silence_s: float) -> None:
        self._directory, self._silence_s = directory, silence_s
        self._arriving: set[Arrival] = set()

    def of(self, transaction: str, name: str | None = None) -> list[Arrival]:
        """Return those of a transaction, or of a contribution, which may be sent twice at once."""
        return [each for each in self._arriving if each.transaction == transaction and name in {None, each.name}]

    @contextmanager
    def begun(self, transaction: str, name: str, upload: Upload) -> Iterator[Arrival]:
        """Tell of a file during the block, in which it comes.

        Raises
        ------
        LoadCancelledError
            It was cancelled.
        """
        arrival = Arrival(transaction, name, upload, asyncio.current_task())
        self._arriving.add(arrival)
        try:
            yield arrival
        except asyncio.CancelledError:
            if arrival.task is None or not arrival.cancelled:
                raise
            arrival.task.uncancel()
            msg = f"contribution {name} was cancelled while it came; nothing of it is kept, send it again if it is to be taken"
            raise LoadCancelledError(msg) from None
        finally:
            self._arriving.remove(arrival)
            arrival.over.set()

    @asynccontextmanager
    async def received(self, arrival: Arrival, content: AsyncIterable[bytes]) -> AsyncIterator[tuple[Path, str]]:
        """Write what comes to a file, which is on the disk then; yield its path and SHA-256. Who keeps it renames it.

        Raises
        ------
        StorageFullError
            There is no room for it.
        IngestError
            Nothing more comes.
        """
        found, new = hashlib.sha256(), self._directory / f"{UNFINISHED}{secrets.token_hex(8)}"

        def write(file: BinaryIO, part: bytes) -> None:
            found.update(part)
            file.write(part)

        try:
            await asyncio.to_thread(self._directory.mkdir, parents=True, exist_ok=True)
            try:
                # Not in a thread: it could make the file after whoever is cancelled has taken it away.
                with new.open("xb") as file:
                    async for part in self._in_time(arrival, content):
                        await asyncio.to_thread(write, file, part)
                        arrival.size_bytes += len(part)
                    await asyncio.to_thread(_synced, file)
                yield new, found.hexdigest()
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            msg = f"{self._directory}: {error}; make room on that disk, then send it again"
            raise StorageFullError(msg) from error

    async def _in_time(self, arrival: Arrival, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        parts = aiter(content)
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    part = await anext(parts, None)
            except TimeoutError:
                msg = (
                    f"nothing more of contribution {arrival.name} of transaction {arrival.transaction} came for"
                    f" {self._silence_s:g} s; nothing of it is kept: send it again, or let QSERV_UPLOAD_SILENCE_S be longer"
                )
                raise IngestError(msg) from None
            if part is None:
                return
            yield part


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

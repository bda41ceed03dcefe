"""Where loaded rows come from: a transaction for each load, and what it read."""

import asyncio
import getpass
import hashlib
import importlib.metadata
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ingest.formats.source import explained
from ingest.locations import Location
from qserv.errors import LoadCancelledError, MetadataError
from qserv.metadata import transactions
from qserv.metadata.director_index import Int64, add_keys, pend_keys, settle_keys
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import Queued, begin_queued
from qserv.metadata.transactions import Contribution, NewTransaction
from schema.model import Database

DISTRIBUTION = "qserv-healpix"

BLOCK_BYTES = 1024 * 1024
"""Of a file, that are read at a time for its digest."""

Keys = tuple[str, str, Int64, Int64]
"""Database and name of a director, keys of rows of it, and the chunk of each."""


class Load:
    """The transaction of a load; see `Load.begin`."""

    def __init__(self, engine: AsyncEngine, transaction_id: int, name: str, *, appends: bool = False) -> None:
        self._engine, self.transaction_id, self.name = engine, transaction_id, name
        self.appends = appends
        """Whether rows are added to published tables: keys must go out of the indexes of directors if it is aborted."""

    @classmethod
    async def begin(cls, engine: AsyncEngine, database: Database, queued: Queued | None = None) -> "Load":
        """Begin the transaction of a load into a database, whose family is held: the one that was queued for it, if any.

        Raises
        ------
        LoadCancelledError
            It is not queued any more.
        """
        async with changing(engine, "ingest.transaction.begin") as connection:
            if queued is None:
                new = new_load(new_name(database.name), database, current_user(), socket.gethostname())
                return cls(engine, await transactions.begin(connection, new), new.name)
            await _open(connection, queued)
            return cls(engine, queued.transaction_id, queued.name)

    async def open(self, queued: Queued) -> None:
        """Begin a transaction that was queued.

        Raises
        ------
        LoadCancelledError
            It is not queued any more.
        """
        async with changing(self._engine, "ingest.append.open") as connection:
            await _open(connection, queued)

    async def new_run(self, table_id: int) -> int:
        """Return the number of a new run of a table."""
        async with changing(self._engine, "ingest.run.number") as connection:
            return await transactions.new_run(connection, self.transaction_id, table_id)

    async def new_contribution(self) -> int:
        """Return the number of a file, which its rows carry, and which is written down when all of them are taken."""
        async with connect(self._engine) as connection:
            return await transactions.new_contribution(connection)

    async def take(self, run_id: int, ended: Sequence[Contribution], index: Keys | None, piece_of: int | None = None) -> None:
        """Write down, all or nothing, that a run is on the nodes, what ends with it, and where the keys of a director are.

        Parameters
        ----------
        piece_of
            The contribution of which it is a piece that does not end it.
        """
        async with changing(self._engine, "ingest.run.take") as connection:
            await transactions.take_run(connection, run_id, piece_of)
            await transactions.contribute(connection, self.transaction_id, ended)
            if index is None:
                return
            database, table, keys, chunks = index
            if piece_of is not None:
                await pend_keys(connection, piece_of, keys, chunks)
                return
            await add_keys(connection, database, table, keys, chunks)
            sent = [one.contribution_id for one in ended if one.sent]
            if sent:
                await settle_keys(connection, database, table, sent, keep=self.appends)
            if self.appends:
                await pend_keys(connection, sent[0], keys, chunks)  # those of the run have ended together

    async def runs(self, table_id: int) -> list[int]:
        """Return the runs of a table that are on the nodes."""
        async with connect(self._engine) as connection:
            return await transactions.taken_runs(connection, self.transaction_id, table_id)

    async def abort(self, error: BaseException) -> bool:
        """Write down why nothing of it is visible, and return whether that is so.

        It is not if the load is committed. If the metadata database does not answer, nobody knows; the next load does.
        """
        try:
            async with changing(self._engine, "ingest.transaction.abort") as connection:
                return await transactions.end(connection, self.transaction_id, str(error) or type(error).__name__)
        except MetadataError:
            return False


async def _open(connection: AsyncConnection, queued: Queued) -> None:
    if not await begin_queued(connection, queued.transaction_id):
        msg = f"load {queued.name} was cancelled"
        raise LoadCancelledError(msg)


def new_name(database: str) -> str:
    """Return a name for a load that was not given one."""
    return f"{database}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def new_load(name: str, database: Database, user: str, host: str) -> NewTransaction:
    """Return the transaction of a load, with what loads it."""
    software = f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"
    return NewTransaction(name, database.name, database.family, user, host, software)


def current_user() -> str:
    """Return who runs this: by number where the system has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return str(os.getuid())


Digest = tuple[int | None, str | None]
"""Size in bytes and SHA-256 of a file of this machine; of others nothing is known without getting all of them."""


@asynccontextmanager
async def digesting(location: Location) -> AsyncIterator[Awaitable[Digest]]:
    """Read a file for its digest while a block runs that reads it as well, and at its end no more."""
    stopped = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(digest, location, stopped))
    try:
        yield work
    finally:
        stopped.set()
        await asyncio.gather(work, return_exceptions=True)


def digest(location: Location, stopped: threading.Event | None = None) -> Digest:
    """Return the digest of a file. If it is stopped before, what it returns means nothing."""
    if not isinstance(location, Path):
        return None, None
    found, block = hashlib.sha256(), memoryview(bytearray(BLOCK_BYTES))
    with explained(location), location.open("rb", buffering=0) as file:
        while not (stopped and stopped.is_set()) and (count := file.readinto(block)):
            found.update(block[:count])
        return file.tell(), found.hexdigest()

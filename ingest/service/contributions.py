"""Contributions as clients send them, each into a transaction that takes them when it comes to it."""

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ingest.formats.source import DEFAULT, ReadOptions
from ingest.inputs import check_table
from ingest.locations import located, word_of
from ingest.service.models import ContributionFile, ContributionInfo, ContributionRequest
from ingest.service.requests import LOOK_S, digest_of
from qserv.api.errors import told
from qserv.errors import NoSuchLoadError, QservError, QueryValueError, SchemaError, StorageFullError, TransactionEndedError
from qserv.failpoints import durable
from qserv.metadata import contributions
from qserv.metadata.catalogue import Json
from qserv.metadata.contributions import WAITS, ContributionState, SentFile
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import TRANSACTION
from qserv.metadata.tables import transactions
from schema.serialise import database_from_json

_READING = TypeAdapter(ReadOptions)

UNFINISHED = ".receiving-"
"""Begin of the name of a file that has not come wholly: no transaction has such a name."""

SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,10}){0,2}\Z")
"""Endings of a file's name, by which formats and compressions are known."""

SHORT_DIGEST = 32
"""Characters of a digest in a file's name: with the longest name of a contribution, it is one that file systems take."""

SHOWN_CHARACTERS = 200
"""Of the name that a file has where it comes from."""

STATES = (
    ContributionState.FAILED,
    ContributionState.READING,
    ContributionState.QUEUED,
    ContributionState.CANCELLED,
    ContributionState.DONE,
)
"""State of a contribution: the first of these that one of its files has."""


@dataclass(frozen=True)
class Upload:
    """A file that comes with a request: its table, its name where it comes from, by whose ending CSV is known, how it is read."""

    table: str
    file_name: str
    reading: ReadOptions = DEFAULT


class Contributions:
    """Contributions of transactions. Every method raises `MetadataError` where the database does not answer.

    Parameters
    ----------
    uploads
        Directory of the files that came in requests, until their transaction ends.
    """

    def __init__(self, engine: AsyncEngine, uploads: Path) -> None:
        self._engine, self._uploads = engine, uploads

    async def send(self, transaction: str, name: str, request: ContributionRequest) -> ContributionInfo:
        """Queue files for a transaction, unless the same contribution was sent before.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction.
        TransactionEndedError
            It takes nothing more.
        LoadNameError
            Something else was sent under this name.
        SchemaError
            It makes no table of that name.
        BadFileError
            There is no such file.
        """
        asked = request.model_dump(mode="json")
        if not await self._is_sent(transaction, name, digest_of(asked)):
            number = await self._checked(transaction, request.table)
            files = await asyncio.to_thread(located, request.source)
            requests = [(request.table, str(file), {"word": word_of(file), "reading": asked["reading"]}) for file in files]
            await self._send(number, name, digest_of(asked), requests)
        return await self.one(transaction, name)

    async def upload(self, transaction: str, name: str, upload: Upload, content: AsyncIterable[bytes]) -> ContributionInfo:
        """Queue a file that comes with the request, unless the same one came before.

        Raises
        ------
        NoSuchLoadError, TransactionEndedError, LoadNameError, SchemaError
            As `send` does.
        StorageFullError
            There is no room for it.
        """
        if not await self._is_known(transaction, name):
            await self._checked(transaction, upload.table)  # before all of it has come
        async with _received(self._uploads, content) as (path, sha256):
            reading = _READING.dump_python(upload.reading, mode="json")
            digest = digest_of({"table": upload.table, "sha256": sha256, "reading": reading})
            if not await self._is_sent(transaction, name, digest):
                number = await self._checked(transaction, upload.table)
                kept = self._uploads / transaction / f"{name}-{digest[:SHORT_DIGEST]}{_suffix(upload.file_name)}"
                await asyncio.to_thread(_keep, path, kept)
                words = {"word": str(kept), "reading": reading}
                await self._send(number, name, digest, [(upload.table, f"upload:{_shown(upload.file_name)}", words)])
        return await self.one(transaction, name)

    async def listed(self, transaction: str) -> list[ContributionInfo]:
        """Return the contributions of a transaction, in the order in which they were sent.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction.
        """
        async with connect(self._engine) as connection:
            files = await contributions.of_transaction(connection, await _number(connection, transaction))
        by_name: dict[str, list[SentFile]] = {}
        for file in files:
            by_name.setdefault(file.name, []).append(file)
        return [_info(name, of_name) for name, of_name in by_name.items()]

    async def one(self, transaction: str, name: str, wait_s: float = 0.0) -> ContributionInfo:
        """Return a contribution; with ``wait_s`` as soon as it is done, or has failed, or as it is after so many seconds.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        until_s = time.monotonic() + wait_s
        while True:
            files = await self._files(transaction, name)
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not any(file.state in WAITS for file in files):
                return _info(name, files)
            await asyncio.sleep(min(LOOK_S, left_s))

    async def ids(self, transaction: str, name: str) -> list[int]:
        """Return the numbers of a contribution's files.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        return [file.contribution_id for file in await self._files(transaction, name)]

    async def cancel(self, transaction: str, name: str) -> ContributionInfo:
        """Let a contribution not be taken, as far as it is not done.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        async with changing(self._engine, "service.contribution.cancel") as connection:
            await contributions.cancel(connection, await _number(connection, transaction), name)
        return await self.one(transaction, name)

    async def commit(self, transaction: str) -> None:
        """Ask that a transaction be committed, when all that was sent is done.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction.
        TransactionEndedError
            It was aborted.
        """
        async with changing(self._engine, "service.commit.ask") as connection:
            await contributions.ask_commit(connection, await _number(connection, transaction))

    async def _is_sent(self, transaction: str, name: str, digest: str) -> bool:
        """Return whether the same contribution is there, and waits, is read, or is done."""
        async with connect(self._engine) as connection:
            return await contributions.is_sent(connection, await _number(connection, transaction), name, digest)

    async def _is_known(self, transaction: str, name: str) -> bool:
        async with connect(self._engine) as connection:
            return bool(await contributions.of_transaction(connection, await _number(connection, transaction), name))

    async def _send(self, number: int, name: str, digest: str, files: Sequence[tuple[str, str, Json]]) -> None:
        async with changing(self._engine, "service.contribution.send") as connection:
            await contributions.send(connection, number, name, digest, files)

    async def _files(self, transaction: str, name: str) -> list[SentFile]:
        async with connect(self._engine) as connection:
            files = await contributions.of_transaction(connection, await _number(connection, transaction), name)
        if not files:
            msg = f"there is no contribution {name} in transaction {transaction}"
            raise NoSuchLoadError(msg)
        return files

    async def _checked(self, transaction: str, table: str) -> int:
        """Return the number of a transaction that makes a table."""
        async with connect(self._engine) as connection:
            number = await _number(connection, transaction)
            request = (await connection.execute(select(transactions.c.request).where(_is(number)))).scalar_one()
        if request is None:
            msg = f"transaction {transaction} has ended, and takes nothing more; begin another one"
            raise TransactionEndedError(msg)
        database = database_from_json(request["database"])
        check_table(database, table)
        if request["asked"]["append_to"] and table in {found.versions.history for found in database.tables if found.versions}:
            msg = f"table {table} takes no rows: those that new versions follow go there by themselves"
            raise SchemaError(msg)
        tables = request["asked"]["tables"]
        if tables and table not in tables:
            msg = f"transaction {transaction} makes {', '.join(tables)}, not {table}"
            raise SchemaError(msg)
        return number


def read_options(text: str) -> ReadOptions:
    """Return how a file is read, of JSON.

    Raises
    ------
    QueryValueError
        It says something else.
    """
    try:
        return _READING.validate_json(text)
    except ValidationError as error:
        told_of = ", ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        msg = f"reading is wrong: {told_of}"
        raise QueryValueError(msg) from error


async def _number(connection: AsyncConnection, name: str) -> int:
    """Return the number of a transaction into which contributions are sent."""
    which = (transactions.c.name == name, transactions.c.kind == TRANSACTION)
    found = (await connection.execute(select(transactions.c.transaction_id).where(*which))).scalar_one_or_none()
    if found is None:
        msg = f"there is no transaction {name}; `qserv loads` lists what there is"
        raise NoSuchLoadError(msg)
    return int(found)


@asynccontextmanager
async def _received(directory: Path, content: AsyncIterable[bytes]) -> AsyncIterator[tuple[Path, str]]:
    """Write what comes to a file, which is on the disk then; yield its path and SHA-256. Who keeps it renames it."""
    found, new = hashlib.sha256(), directory / f"{UNFINISHED}{secrets.token_hex(8)}"
    try:
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        try:
            with await asyncio.to_thread(new.open, "xb") as file:
                async for part in content:
                    found.update(part)
                    await asyncio.to_thread(file.write, part)
                await asyncio.to_thread(_synced, file)
            yield new, found.hexdigest()
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{directory}: {error}; make room on that disk, then send it again"
        raise StorageFullError(msg) from error


def _suffix(file_name: str) -> str:
    found = SUFFIX.search(file_name)
    return found[0] if found else ""


def _shown(file_name: str) -> str:
    """Return the last part of a name, as it can be stored and shown."""
    return "".join(filter(str.isprintable, file_name.rpartition("/")[2]))[:SHOWN_CHARACTERS]


def _keep(path: Path, kept: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    with durable("service.upload.keep"):
        path.rename(kept)


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _info(name: str, files: Sequence[SentFile]) -> ContributionInfo:
    states = {file.state for file in files}
    return ContributionInfo(
        name=name,
        table=files[0].table_name,
        state=next(state for state in STATES if state in states),
        rows=sum(file.row_count for file in files),
        rejected=sum(file.rejected for file in files),
        files=tuple(map(_file_info, files)),
    )


def _file_info(file: SentFile) -> ContributionFile:
    return ContributionFile(
        source=file.source,
        state=file.state,
        attempt=file.attempt,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        rows=file.row_count,
        rejected=file.rejected,
        error=None if file.error is None else told(file.error_code or QservError.code, file.error),
    )


def _is(number: int) -> ColumnElement[bool]:
    return transactions.c.transaction_id == number

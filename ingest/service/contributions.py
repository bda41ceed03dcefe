"""Contributions as clients send them, each into a transaction that takes them when it comes to it."""

import asyncio
import re
import time
from collections.abc import AsyncIterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ingest.formats.arrow import ArrowFile
from ingest.formats.source import ReadOptions
from ingest.inputs import check_table
from ingest.locations import located, word_of
from ingest.matching import match_columns
from ingest.service.models import WAITING, ContributionFile, ContributionInfo, ContributionRequest
from ingest.service.receiving import Arrivals, Upload
from ingest.service.requests import LOOK_S, digest_of
from qserv.api.errors import told
from qserv.errors import NoSuchLoadError, QservError, QueryValueError, SchemaError, TransactionEndedError
from qserv.failpoints import durable
from qserv.metadata import contributions
from qserv.metadata.catalogue import Json
from qserv.metadata.contributions import ContributionState, SentFile
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import TRANSACTION
from qserv.metadata.tables import transactions
from schema.model import Table
from schema.serialise import database_from_json

_READING = TypeAdapter(ReadOptions)

SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,10}){0,2}\Z")
"""Endings of a file's name, by which formats and compressions are known."""

SHORT_DIGEST = 32
"""Characters of a digest in a file's name: with the longest name of a contribution, it is one that file systems take."""

STATES = (
    ContributionState.FAILED,
    ContributionState.READING,
    ContributionState.QUEUED,
    ContributionState.CANCELLED,
    ContributionState.DONE,
)
"""State of a contribution: the first of these that one of its files has."""

ENDED_WITHOUT_ROWS = (ContributionState.FAILED, ContributionState.CANCELLED)
"""States in which a contribution may be sent again."""


class Contributions:
    """Contributions of transactions. Every method raises `MetadataError` where the database does not answer.

    Parameters
    ----------
    uploads
        Directory of the files that came in requests, until their transaction ends.
    silence_s
        For so long, who sends one may send nothing.
    """

    def __init__(self, engine: AsyncEngine, uploads: Path, silence_s: float) -> None:
        self._engine, self._uploads, self._arrivals = engine, uploads, Arrivals(uploads, silence_s)

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
            number, _ = await self._checked(transaction, request.table)
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
        BadFileError
            Rows that come as a stream have not the columns of the table.
        StorageFullError
            There is no room for it.
        LoadCancelledError
            It was cancelled while it came.
        IngestError
            Nothing more came.
        """
        with self._arrivals.begun(transaction, name, upload) as arrival:
            if not await self._is_known(transaction, name):  # before all of it has come
                _, table = await self._checked(transaction, upload.table)
                if upload.schema is not None:
                    rows = ArrowFile.of(Path(f"contribution {name}"), upload.schema, is_stream=True)
                    match_columns(table, rows, ignore_units=upload.reading.ignore_units)
            async with self._arrivals.received(arrival, content) as (path, sha256):
                reading = _READING.dump_python(upload.reading, mode="json")
                digest = digest_of({"table": upload.table, "sha256": sha256, "reading": reading})
                if not await self._is_sent(transaction, name, digest):
                    number, _ = await self._checked(transaction, upload.table)
                    kept = self._uploads / transaction / f"{name}-{digest[:SHORT_DIGEST]}{_suffix(upload.file_name)}"
                    await asyncio.to_thread(_keep, path, kept)
                    await self._send(number, name, digest, [(upload.table, upload.source, {"word": str(kept), "reading": reading})])
        return await self.one(transaction, name)

    async def listed(self, transaction: str, name: str | None = None) -> list[ContributionInfo]:
        """Return the contributions of a transaction, in the order in which they were sent: all, or those of a name.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction.
        """
        while True:
            arriving = self._arrivals.of(transaction, name)
            async with connect(self._engine) as connection:
                files = await contributions.of_transaction(connection, await _number(connection, transaction), name)
            if not any(arrival.over.is_set() for arrival in arriving):  # else it may be written since
                break
        by_name: dict[str, list[SentFile]] = {}
        for file in files:
            by_name.setdefault(file.name, []).append(file)
        found = {each: _info(each, of_name) for each, of_name in by_name.items()}
        for arrival in self._arrivals.of(transaction, name):
            if arrival.name not in found or found[arrival.name].state in ENDED_WITHOUT_ROWS:
                found[arrival.name] = arrival.info
        return list(found.values())

    async def one(self, transaction: str, name: str, wait_s: float = 0.0) -> ContributionInfo:
        """Return a contribution; with ``wait_s`` as soon as it is done, or has failed, or as it is after so many seconds.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        until_s = time.monotonic() + wait_s
        while True:
            found = await self.listed(transaction, name)
            if not found:
                raise _unknown(transaction, name)
            left_s = until_s - time.monotonic()
            if left_s <= 0 or found[0].state not in WAITING:
                return found[0]
            await asyncio.sleep(min(LOOK_S, left_s))

    async def ids(self, transaction: str, name: str) -> list[int]:
        """Return the numbers of a contribution's files.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        async with connect(self._engine) as connection:
            files = await contributions.of_transaction(connection, await _number(connection, transaction), name)
        if not files:
            raise _unknown(transaction, name)
        return [file.contribution_id for file in files]

    async def cancel(self, transaction: str, name: str) -> ContributionInfo:
        """Let a contribution not be taken, as far as it is not done. Of one that still comes nothing is kept.

        Raises
        ------
        NoSuchLoadError
            There is no such transaction, or contribution.
        """
        arrivals = self._arrivals.of(transaction, name)
        for arrival in arrivals:
            await arrival.cancel()
        if arrivals and not await self._is_known(transaction, name):
            return arrivals[0].info
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

    async def _checked(self, transaction: str, table: str) -> tuple[int, Table]:
        """Return the number of a transaction, and a table that it makes."""
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
        return number, database.by_name[table]


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


def _unknown(transaction: str, name: str) -> NoSuchLoadError:
    return NoSuchLoadError(f"there is no contribution {name} in transaction {transaction}")


def _suffix(file_name: str) -> str:
    found = SUFFIX.search(file_name)
    return found[0] if found else ""


def _keep(path: Path, kept: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    with durable("service.upload.keep"):
        path.rename(kept)


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

"""What clients ask of loads, answered by the metadata database."""

import asyncio
import hashlib
import json
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import check_appendable
from ingest.columns import ColumnWish, new_column, widened
from ingest.indexing import IndexWish, indexed
from ingest.inputs import check_table
from ingest.locations import located
from ingest.provenance import new_load
from ingest.publication import published_database, published_tables
from ingest.service.models import (
    ColumnRequest,
    FileInfo,
    IndexRequest,
    LoadInfo,
    LoadRequest,
    ReportInfo,
    SchemaRequest,
    StageInfo,
    TransactionRequest,
    WithdrawalRequest,
)
from ingest.withdrawable import withdrawable
from qserv.api.errors import told
from qserv.errors import NoSuchLoadError, QservError, SchemaError, UnknownNameError
from qserv.metadata import loads
from qserv.metadata.catalogue import Json
from qserv.metadata.engine import changing, connect
from qserv.metadata.loads import LoadFacts
from qserv.metadata.transactions import Contribution, Transaction, TransactionState, list_transactions, read_transaction
from schema.felis import read_database
from schema.model import Database
from schema.partitioning import partition_path
from schema.serialise import column_to_json, database_to_json

LOOK_S = 0.1
"""How often a waited-for load is looked at."""


class Requests:
    """Loads as clients see them. Every method raises `MetadataError` where the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def submit(self, name: str, request: LoadRequest | TransactionRequest, user: str) -> LoadInfo:
        """Queue a load or a transaction, unless the same one waits, runs or is committed.

        Raises
        ------
        SchemaError
            The schema is wrong, or has not one of the tables.
        BadFileError
            There is no such file.
        LoadNameError
            Something else was asked under this name.
        """
        asked, kind = request.model_dump(mode="json"), "load" if isinstance(request, LoadRequest) else loads.TRANSACTION
        digest = digest_of(asked if kind == "load" else {"kind": kind, **asked})
        async with connect(self._engine) as connection:
            if await loads.is_done(connection, name, digest):  # its files may be gone by now
                return await self.load(name)
        database = await self._database(request)
        wanted = {"asked": asked, "database": database_to_json(database)}
        new = replace(new_load(name, database, user, socket.gethostname()), kind=kind)
        async with changing(self._engine, "service.load.enqueue") as connection:
            await loads.enqueue(connection, new, wanted, digest)
        return await self.load(name)

    async def _database(self, request: LoadRequest | TransactionRequest) -> Database:
        """Return the database of a request whose tables and files are there."""
        if isinstance(request, TransactionRequest) and request.append_to is not None:
            database = await published_tables(self._engine, request.append_to, request.tables)
            check_appendable(database, set(request.tables) or database.by_name.keys())
            return database
        return await asyncio.to_thread(_checked, request)

    async def submit_index(self, name: str, database: str, table: str, request: IndexRequest, user: str) -> LoadInfo:
        """Queue the making or dropping of an index, unless the same waits, runs or is done.

        Raises
        ------
        UnknownNameError, SchemaError, IngestError
            There is no such table, column or index.
        LoadNameError
            Something else was asked under this name.
        """
        asked: Json = {"table": table, "columns": list(request.columns), "drop": request.drop}
        digest = digest_of({"kind": loads.INDEX, "database": database, **asked})
        async with connect(self._engine) as connection:
            known = await loads.is_done(connection, name, digest)
        if not known:
            found = await published_database(self._engine, database, table)
            indexed(found.by_name[table], IndexWish(table, request.columns, request.drop))
            new = replace(new_load(name, found, user, socket.gethostname()), kind=loads.INDEX)
            async with changing(self._engine, "service.indexing.enqueue") as connection:
                await loads.enqueue(connection, new, {"asked": asked}, digest)
        return await self.load(name)

    async def submit_withdrawal(self, name: str, request: WithdrawalRequest, user: str) -> LoadInfo:
        """Queue the withdrawal of a transaction, unless the same waits, runs or is done.

        Raises
        ------
        NoSuchLoadError, IngestError
            There is no such transaction, or it cannot be withdrawn.
        LoadNameError
            Something else was asked under this name.
        """
        asked = request.model_dump(mode="json")
        digest = digest_of({"kind": loads.WITHDRAWAL, **asked})
        async with connect(self._engine) as connection:
            known = await loads.is_done(connection, name, digest)
        if not known:
            await withdrawable(self._engine, request.transaction)
            database = (await self.load(request.transaction)).database
            found = await published_tables(self._engine, database, ())
            new = replace(new_load(name, found, user, socket.gethostname()), kind=loads.WITHDRAWAL)
            async with changing(self._engine, "service.withdrawal.enqueue") as connection:
                await loads.enqueue(connection, new, {"asked": asked}, digest)
        return await self.load(name)

    async def submit_column(self, name: str, database: str, table: str, request: ColumnRequest, user: str) -> LoadInfo:
        """Queue the addition of a column, unless the same waits, runs or is done.

        Raises
        ------
        UnknownNameError, SchemaError
            There is no such table, or it can have no such column.
        LoadNameError
            Something else was asked under this name.
        """
        asked: Json = {"table": table, **request.model_dump(mode="json")}
        digest = digest_of({"kind": loads.COLUMN, "database": database, **asked})
        async with connect(self._engine) as connection:
            known = await loads.is_done(connection, name, digest)
        if not known:
            found = await published_database(self._engine, database, table)
            column = await asyncio.to_thread(new_column, request.attributes, request.default_text)
            widened(found, ColumnWish(table, column))
            new = replace(new_load(name, found, user, socket.gethostname()), kind=loads.COLUMN)
            async with changing(self._engine, "service.columns.enqueue") as connection:
                await loads.enqueue(connection, new, {"asked": asked, "column": column_to_json(column)}, digest)
        return await self.load(name)

    async def load(self, name: str, wait_s: float = 0.0) -> LoadInfo:
        """Return a load; with ``wait_s`` as soon as it has ended or its commit is refused, or as it is after so many seconds.

        Raises
        ------
        NoSuchLoadError
            There is none of the name.
        """
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            async with connect(self._engine) as connection:
                if await loads.is_settled(connection, name):
                    break
            await asyncio.sleep(min(LOOK_S, left_s))
        async with connect(self._engine) as connection:
            await loads.state_of(connection, name)
            (transaction,) = await list_transactions(connection, limit=1, name=name)
            facts = (await loads.facts_of(connection, [name]))[name]
        return _info(transaction, facts)

    async def latest(self, limit: int) -> list[LoadInfo]:
        """Return loads, the newest first."""
        async with connect(self._engine) as connection:
            found = await list_transactions(connection, limit=limit)
            facts = await loads.facts_of(connection, [one.name for one in found])
        return [_info(one, facts[one.name]) for one in found]

    async def files(self, name: str) -> list[FileInfo]:
        """Return the files from which a load took rows, in the order in which they ended.

        Raises
        ------
        NoSuchLoadError
            There is none of the name.
        """
        try:
            async with connect(self._engine) as connection:
                _, files = await read_transaction(connection, name)
        except UnknownNameError as error:
            raise NoSuchLoadError(str(error)) from error
        return list(map(_file_info, files))


def digest_of(asked: Json) -> str:
    """Return by what the same request is known again."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _checked(request: LoadRequest | TransactionRequest) -> Database:
    """Return the database of a request whose tables and files are there."""
    database = _database(request)
    files = request.files if isinstance(request, LoadRequest) else request.positions
    for table in request.tables if isinstance(request, TransactionRequest) else ():
        check_table(database, table)
    for table, words in files.items():
        check_table(database, table)
        for word in words:
            located(word)
    return database


def _database(request: SchemaRequest) -> Database:
    if request.schema_file is not None:
        return read_database(Path(request.schema_file))
    with tempfile.TemporaryDirectory() as directory:
        felis = Path(directory, "schema.yaml")
        felis.write_text(request.felis or "", encoding="utf-8")
        partition_path(felis).write_text(request.partition or "", encoding="utf-8")
        try:
            return read_database(felis)
        except SchemaError as error:
            raise SchemaError(str(error).replace(f"{directory}/", "")) from error


def _info(load: Transaction, facts: LoadFacts) -> LoadInfo:
    failed = load.state is TransactionState.ABORTED or load.error is not None
    return LoadInfo(
        name=load.name,
        kind=facts.kind,
        committing=facts.wish is not None and load.state is TransactionState.OPEN,
        database=load.database,
        state=load.state,
        begun=load.begun,
        ended=load.ended if facts.request is None else None,
        withdrawn=load.withdrawn,
        user=load.user_name,
        host=load.host,
        software=load.software,
        attempt=facts.attempt,
        rows=load.row_count,
        rejected=load.rejected,
        progress=tuple(StageInfo(**stage) for stage in (facts.progress or {}).get("stages", ())),
        report=None if facts.report is None else ReportInfo.model_validate(facts.report),
        error=told(facts.error_code or QservError.code, load.error or "") if failed else None,
    )


def _file_info(file: Contribution) -> FileInfo:
    return FileInfo(
        contribution=file.contribution_id,
        table=file.table_name,
        source=file.source,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        rows=file.row_count,
        rejected=file.rejected,
    )

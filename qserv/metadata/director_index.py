"""The director index: for each director table, in which chunk the row of a key is."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import IngestError
from qserv.metadata.engine import asyncpg_connection
from qserv.metadata.tables import DIRECTOR_INDEX_SCHEMA

Int64 = npt.NDArray[np.int64]

LOOKUP_KEYS = 100_000
"""Most keys of one lookup: its answer stays below a few MB, and PostgreSQL answers in about 0.1 s."""

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_COPY_ROW = np.dtype([("fields", ">i2"), ("key_bytes", ">i4"), ("key", ">i8"), ("chunk_bytes", ">i4"), ("chunk", ">i8")])
"""A row of PostgreSQL's binary COPY with two bigint fields (documentation of COPY, "Binary Format")."""


def index_relation(database: str, table: str) -> str:
    """Return the quoted name of a director's index table."""
    return f'"{DIRECTOR_INDEX_SCHEMA}".{_quote(f"{database}.{table}")}'


async def load_index(connection: AsyncConnection, database: str, table: str, batches: AsyncIterable[tuple[Int64, Int64]]) -> int:
    """Write a director's index in place of the one that was there, and return its number of keys.

    Parameters
    ----------
    connection
        A connection without an open transaction; all is committed here, or nothing.
    batches
        Pairs of arrays of shape (n,): keys, and the chunk of each.

    Raises
    ------
    IngestError
        A key occurs twice.
    """
    relation = index_relation(database, table)
    async with connection.begin():
        driver = await asyncpg_connection(connection)
        await driver.execute(f"DROP TABLE IF EXISTS {relation}")
        await driver.execute(f"CREATE TABLE {relation} (key bigint NOT NULL, chunk bigint NOT NULL)")
        status = await driver.copy_to_table(
            f"{database}.{table}",
            schema_name=DIRECTOR_INDEX_SCHEMA,
            columns=("key", "chunk"),
            source=_copy_stream(batches),
            format="binary",
        )
        try:
            await driver.execute(f"ALTER TABLE {relation} ADD PRIMARY KEY (key)")
        except asyncpg.UniqueViolationError as error:
            msg = (
                f"director table {database}.{table}: {_duplicate(error)}; "
                "a director has one row a key: remove the others from the file, or declare another key"
            )
            raise IngestError(msg) from error
    return int(status.removeprefix("COPY "))


async def drop_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Remove a director's index, if there."""
    await connection.exec_driver_sql(f"DROP TABLE IF EXISTS {index_relation(database, table)}")


async def rename_index(connection: AsyncConnection, old: str, new: str, table: str) -> None:
    """Let a director's index, if there, be that of the table of the same name in another database, which has none."""
    renamed = _quote(f"{new}.{table}")
    await connection.exec_driver_sql(f"ALTER TABLE IF EXISTS {index_relation(old, table)} RENAME TO {renamed}")


async def find_chunks(connection: AsyncConnection, database: str, table: str, keys: Sequence[int] | Int64) -> tuple[Int64, Int64]:
    """Return the keys that a director has, ascending, and the chunk of each: two arrays of shape (found,).

    Parameters
    ----------
    keys
        At most `LOOKUP_KEYS` keys, in any order; a repeated one is returned once.

    Raises
    ------
    ValueError
        There are more keys than that.
    """
    return await look_up(await asyncpg_connection(connection), database, table, keys)


async def look_up(
    driver: "asyncpg.Connection | asyncpg.Pool", database: str, table: str, keys: Sequence[int] | Int64
) -> tuple[Int64, Int64]:
    """Do what `find_chunks` does, over a connection of the driver itself."""
    if len(keys) > LOOKUP_KEYS:
        msg = f"{len(keys)} keys in one lookup; at most {LOOKUP_KEYS}"
        raise ValueError(msg)
    wanted = np.unique(np.asarray(keys, dtype=np.int64))
    found = await driver.fetchrow(
        f"SELECT coalesce(array_agg(key ORDER BY key), '{{}}'), coalesce(array_agg(chunk ORDER BY key), '{{}}') "  # noqa: S608 (quoted)
        f"FROM {index_relation(database, table)} WHERE key = ANY($1::bigint[])",
        wanted.tolist(),
    )
    return np.array(found[0], dtype=np.int64), np.array(found[1], dtype=np.int64)


async def _copy_stream(batches: AsyncIterable[tuple[Int64, Int64]]) -> AsyncIterator[bytes]:
    yield _COPY_HEADER
    async for keys, chunks in batches:
        rows = np.empty(len(keys), dtype=_COPY_ROW)
        rows["fields"] = 2
        rows["key_bytes"] = rows["chunk_bytes"] = 8
        rows["key"] = keys
        rows["chunk"] = chunks
        yield rows.tobytes()
    yield _COPY_TRAILER


def _duplicate(error: asyncpg.UniqueViolationError) -> str:
    """Return the sentence in which PostgreSQL names the key, such as ``Key (key)=(5) is duplicated``."""
    detail: str | None = error.detail
    return detail.rstrip(".") if detail else str(error)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'

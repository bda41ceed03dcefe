"""The director index: for each director table, in which chunk the row of a key is."""

from collections.abc import AsyncIterator, Sequence

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

COPIED_KEYS = 65_536
"""Keys that are written at a time."""

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_COPY_ROW = np.dtype([("fields", ">i2"), ("key_bytes", ">i4"), ("key", ">i8"), ("chunk_bytes", ">i4"), ("chunk", ">i8")])
"""A row of PostgreSQL's binary COPY with two bigint fields (documentation of COPY, "Binary Format")."""


def index_relation(database: str, table: str) -> str:
    """Return the quoted name of a director's index table."""
    return f'"{DIRECTOR_INDEX_SCHEMA}".{_quote(f"{database}.{table}")}'


async def begin_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Make an empty index of a director, which cannot be searched yet, in place of the one that was there."""
    await drop_index(connection, database, table)
    relation = index_relation(database, table)
    await connection.exec_driver_sql(f"CREATE TABLE {relation} (key bigint NOT NULL, chunk bigint NOT NULL)")


async def add_keys(connection: AsyncConnection, database: str, table: str, keys: Int64, chunks: Int64) -> None:
    """Write keys, and the chunk of each, two arrays of shape (n,), into an index that was begun."""
    driver = await asyncpg_connection(connection)
    await driver.copy_to_table(
        f"{database}.{table}",
        schema_name=DIRECTOR_INDEX_SCHEMA,
        columns=("key", "chunk"),
        source=_copy_stream(keys, chunks),
        format="binary",
    )


async def complete_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Let an index be searched, that has all its keys.

    Raises
    ------
    IngestError
        A key occurs twice.
    """
    driver = await asyncpg_connection(connection)
    try:
        await driver.execute(f"ALTER TABLE {index_relation(database, table)} ADD PRIMARY KEY (key)")
    except asyncpg.UniqueViolationError as error:
        msg = (
            f"director table {database}.{table}: {_duplicate(error)}; "
            "a director has one row a key: remove the others from the file, or declare another key"
        )
        raise IngestError(msg) from error


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


async def _copy_stream(keys: Int64, chunks: Int64) -> AsyncIterator[bytes]:
    yield _COPY_HEADER
    for start in range(0, len(keys), COPIED_KEYS):
        part = slice(start, start + COPIED_KEYS)
        rows = np.empty(len(keys[part]), dtype=_COPY_ROW)
        rows["fields"] = 2
        rows["key_bytes"] = rows["chunk_bytes"] = 8
        rows["key"] = keys[part]
        rows["chunk"] = chunks[part]
        yield rows.tobytes()
    yield _COPY_TRAILER


def _duplicate(error: asyncpg.UniqueViolationError) -> str:
    """Return the sentence in which PostgreSQL names the key, such as ``Key (key)=(5) is duplicated``."""
    detail: str | None = error.detail
    return detail.rstrip(".") if detail else str(error)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'

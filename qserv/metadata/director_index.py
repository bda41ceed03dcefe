"""The director index: for each director table, in which chunk the row of a key is."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy import ARRAY, BigInteger, any_, cast, delete, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import IngestError
from qserv.metadata.engine import asyncpg_connection
from qserv.metadata.tables import DIRECTOR_INDEX_SCHEMA, contributions, moved_keys, pending_keys

Int64 = npt.NDArray[np.int64]

LOOKUP_KEYS = 100_000
"""Most keys of one lookup: its answer stays below a few MB, and PostgreSQL answers in about 0.1 s."""

COPIED_KEYS = 65_536
"""Keys that are written at a time."""

NOW = 2**63 - 1
"""Later than any version of the catalogue."""

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


def index_relation(database: str, table: str) -> str:
    """Return the quoted name of a director's index table."""
    return f'"{DIRECTOR_INDEX_SCHEMA}".{_quote(f"{database}.{table}")}'


async def begin_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Make an empty index of a director, which cannot be searched yet, in place of the one that was there."""
    await drop_index(connection, database, table)
    relation = index_relation(database, table)
    await connection.exec_driver_sql(f"CREATE TABLE {relation} (key bigint NOT NULL, chunk bigint NOT NULL)")


async def add_keys(connection: AsyncConnection, database: str, table: str, keys: Int64, chunks: Int64) -> None:
    """Write keys, and the chunk of each, two arrays of shape (n,), into an index.

    Raises
    ------
    IngestError
        The index can be searched already, and has one of the keys.
    """
    with _unique(database, table):
        await _copy(connection, DIRECTOR_INDEX_SCHEMA, f"{database}.{table}", {"key": keys, "chunk": chunks})


async def pend_keys(connection: AsyncConnection, contribution_id: int, keys: Int64, chunks: Int64) -> None:
    """Keep keys, and the chunk of each, of a contribution that has not ended; see `settle_keys`."""
    ids = np.full(len(keys), contribution_id, dtype=np.int64)
    await _copy(connection, "public", pending_keys.name, {"contribution_id": ids, "key": keys, "chunk": chunks})


async def settle_keys(
    connection: AsyncConnection, database: str, table: str, contribution_ids: Sequence[int], *, keep: bool = False
) -> None:
    """Write what was kept of contributions into the index of their director, and keep it on for `forget_keys`, or do not.

    Raises
    ------
    IngestError
        It has one of the keys.
    """
    driver = await asyncpg_connection(connection)
    which = "FROM pending_keys WHERE contribution_id = ANY($1::bigint[])"
    kept = f"SELECT key, chunk {which}" if keep else f"DELETE {which} RETURNING key, chunk"
    relation = index_relation(database, table)
    with _unique(database, table):
        await driver.execute(
            f"WITH kept AS ({kept}) INSERT INTO {relation} (key, chunk) SELECT key, chunk FROM kept",  # noqa: S608 (quoted)
            list(contribution_ids),
        )


async def forget_keys(connection: AsyncConnection, transaction_id: int, version: int | None = None) -> None:
    """Take the keys out of the indexes of published directors that a transaction appended, or was to append.

    Parameters
    ----------
    version
        Of the catalogue, since which its rows are not shown, if they were: who knows an earlier one finds the keys as before.
    """
    found = await connection.execute(_KEPT, {"id": transaction_id})
    for database, table in found.all():
        there = text("SELECT to_regclass(:relation)")
        if (await connection.execute(there, {"relation": index_relation(database, table)})).scalar_one() is None:
            continue  # the table was dropped
        forget = f"""
            WITH gone AS (
                DELETE FROM {index_relation(database, table)} AS index USING pending_keys JOIN contributions USING (contribution_id)
                WHERE index.key = pending_keys.key AND transaction_id = :id AND table_name = :table AND state = 'done'
                RETURNING index.key, index.chunk)
            INSERT INTO moved_keys (database, table_name, version, key, chunk)
            SELECT :database, :table, CAST(:version AS bigint), key, chunk FROM gone WHERE CAST(:version AS bigint) IS NOT NULL"""  # noqa: S608 (quoted)
        await connection.execute(text(forget), {"id": transaction_id, "database": database, "table": table, "version": version})


async def forget_pending(connection: AsyncConnection, transaction_id: int) -> None:
    """Delete keys that were kept for `settle_keys` or `forget_keys`."""
    sent = select(contributions.c.contribution_id).where(contributions.c.transaction_id == transaction_id)
    await connection.execute(delete(pending_keys).where(pending_keys.c.contribution_id.in_(sent)))


async def pending_among(connection: AsyncConnection, contribution_id: int, keys: Int64) -> list[int]:
    """Return the smallest of some keys that is kept of a contribution, if any is."""
    listed = cast(keys.tolist(), ARRAY(BigInteger))
    found = select(func.min(pending_keys.c.key)).where(
        pending_keys.c.contribution_id == contribution_id, pending_keys.c.key == any_(listed)
    )
    key = (await connection.execute(found)).scalar_one()
    return [] if key is None else [key]


_KEPT = text("""
    SELECT DISTINCT transactions.database, contributions.table_name
    FROM pending_keys JOIN contributions USING (contribution_id) JOIN transactions USING (transaction_id)
    WHERE transaction_id = :id AND contributions.state = 'done'""")


async def complete_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Let an index be searched, that has all its keys.

    Raises
    ------
    IngestError
        A key occurs twice.
    """
    driver = await asyncpg_connection(connection)
    with _unique(database, table):
        await driver.execute(f"ALTER TABLE {index_relation(database, table)} ADD PRIMARY KEY (key)")


async def drop_index(connection: AsyncConnection, database: str, table: str) -> None:
    """Remove a director's index, if there."""
    await connection.exec_driver_sql(f"DROP TABLE IF EXISTS {index_relation(database, table)}")
    await connection.execute(delete(moved_keys).where(moved_keys.c.database == database, moved_keys.c.table_name == table))


async def rename_index(connection: AsyncConnection, old: str, new: str, table: str) -> None:
    """Let a director's index, if there, be that of the table of the same name in another database, which has none."""
    renamed = _quote(f"{new}.{table}")
    await connection.exec_driver_sql(f"ALTER TABLE IF EXISTS {index_relation(old, table)} RENAME TO {renamed}")


async def move_keys(  # noqa: PLR0913, PLR0917 (which keys of which index, where to, since when)
    connection: AsyncConnection, database: str, table: str, keys: Int64, chunks: Int64, version: int
) -> None:
    """Write down in which chunks the rows of keys are since a version of the catalogue.

    Who knows an earlier one finds them as before.
    """
    driver, relation = await asyncpg_connection(connection), index_relation(database, table)
    # Both parts of the statement read the index as it was.
    await driver.execute(
        f"""
        WITH moved AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS moved (key, chunk)),
            former AS (
                INSERT INTO moved_keys (database, table_name, version, key, chunk)
                SELECT $3::text, $4::text, $5::bigint, index.key, index.chunk FROM {relation} AS index JOIN moved USING (key))
        UPDATE {relation} AS index SET chunk = moved.chunk FROM moved WHERE index.key = moved.key""",  # noqa: S608 (quoted)
        keys.tolist(),
        chunks.tolist(),
        database,
        table,
        version,
    )


async def has_moved(connection: AsyncConnection, database: str) -> bool:
    """Whether rows of a database have ever moved from chunk to chunk."""
    found = select(moved_keys.c.key).where(moved_keys.c.database == database).limit(1)
    return (await connection.execute(found)).one_or_none() is not None


async def moved_with(connection: AsyncConnection, database: str, table: str, version: int) -> tuple[Int64, Int64]:
    """Return the keys that moved with a version of the catalogue, ascending, and the chunk of each before, shape (n,) both."""
    key, chunk = (func.array_agg(aggregate_order_by(moved_keys.c[name], moved_keys.c.key)) for name in ("key", "chunk"))
    of_table = (moved_keys.c.database == database, moved_keys.c.table_name == table)
    found = (await connection.execute(select(key, chunk).where(*of_table, moved_keys.c.version == version))).one()
    keys, chunks = (np.array(one or (), dtype=np.int64) for one in found)
    return keys, chunks


async def find_chunks(
    connection: AsyncConnection, database: str, table: str, keys: Sequence[int] | Int64, version: int = NOW
) -> tuple[Int64, Int64]:
    """Return the keys that a director has, ascending, and the chunk of each as of a version: two arrays of shape (found,).

    Parameters
    ----------
    keys
        At most `LOOKUP_KEYS` keys, in any order; a repeated one is returned once.

    Raises
    ------
    ValueError
        There are more keys than that.
    """
    return await look_up(await asyncpg_connection(connection), database, table, keys, version)


async def look_up(
    driver: "asyncpg.Connection | asyncpg.Pool", database: str, table: str, keys: Sequence[int] | Int64, version: int = NOW
) -> tuple[Int64, Int64]:
    """Do what `find_chunks` does, over a connection of the driver itself, for who knows a version of the catalogue."""
    if len(keys) > LOOKUP_KEYS:
        msg = f"{len(keys)} keys in one lookup; at most {LOOKUP_KEYS}"
        raise ValueError(msg)
    wanted = np.unique(np.asarray(keys, dtype=np.int64))
    found = await driver.fetchrow(
        f"""
        SELECT coalesce(array_agg(key ORDER BY key), '{{}}'), coalesce(array_agg(chunk ORDER BY key), '{{}}')
        FROM (
            SELECT DISTINCT ON (key) key, chunk FROM (
                SELECT key, chunk, version FROM moved_keys
                WHERE database = $2 AND table_name = $3 AND version > $4 AND key = ANY($1::bigint[])
                UNION ALL SELECT key, chunk, {NOW} FROM {index_relation(database, table)} WHERE key = ANY($1::bigint[])) AS known
            ORDER BY key, version) AS found""",  # noqa: S608 (quoted)
        wanted.tolist(),
        database,
        table,
        version,
    )
    return np.array(found[0], dtype=np.int64), np.array(found[1], dtype=np.int64)


async def _copy(connection: AsyncConnection, schema: str, table: str, columns: Mapping[str, Int64]) -> None:
    driver = await asyncpg_connection(connection)
    stream = _copy_stream(columns)
    await driver.copy_to_table(table, schema_name=schema, columns=tuple(columns), source=stream, format="binary")


async def _copy_stream(columns: Mapping[str, Int64]) -> AsyncIterator[bytes]:
    """Yield columns in PostgreSQL's binary format of COPY, each a bigint field (documentation of COPY, "Binary Format")."""
    fields = [(f"{name} {part}", kind) for name in columns for part, kind in (("bytes", ">i4"), ("value", ">i8"))]
    row = np.dtype([("fields", ">i2"), *fields])
    count = len(next(iter(columns.values())))
    yield _COPY_HEADER
    for start in range(0, count, COPIED_KEYS):
        part = slice(start, start + COPIED_KEYS)
        rows = np.empty(min(COPIED_KEYS, count - start), dtype=row)
        rows["fields"] = len(columns)
        for name, values in columns.items():
            rows[f"{name} bytes"] = 8
            rows[f"{name} value"] = values[part]
        yield rows.tobytes()
    yield _COPY_TRAILER


@contextmanager
def _unique(database: str, table: str) -> Iterator[None]:
    """Raise our error where a key occurs twice."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        msg = (
            f"director table {database}.{table}: {_duplicate(error)}; "
            "a director has one row a key: remove the others from the file, or declare another key"
        )
        raise IngestError(msg) from error


def _duplicate(error: asyncpg.UniqueViolationError) -> str:
    """Return the sentence in which PostgreSQL names the key, such as ``Key (key)=(5) is duplicated``."""
    detail: str | None = error.detail
    return detail.rstrip(".") if detail else str(error)


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'

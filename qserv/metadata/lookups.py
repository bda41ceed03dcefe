"""What every query asks of the metadata database, over connections of the driver itself: a tenth of the cost of SQLAlchemy."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.engine import URL

from qserv.errors import MetadataError
from qserv.metadata.director_index import Int64, look_up
from qserv.metadata.engine import CONNECT_TIMEOUT_S

ANSWER_TIMEOUT_S = 20.0
"""Time for an answer. Each is a look into an index, a hundred thousand keys take a second: a silent database is frozen."""

MAX_CONNECTIONS = 4
"""Connections that ask at a time; each answers in a fraction of a millisecond."""


class Lookups:
    """Questions of every query. Measured: one costs 0.1 ms here and 1.2 to 2 ms through SQLAlchemy, of a query's 10."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def catalogue_version(self) -> int:
        """Return the version of the catalogue.

        Raises
        ------
        MetadataError
            The metadata database does not answer.
        """
        async with self._asking() as pool:
            version: int = await pool.fetchval("SELECT version FROM catalogue_version")
        return version

    async def chunks_of(self, database: str, director: str, keys: Sequence[int] | Int64) -> Int64:
        """Return the chunk of each key that a director has; at most `LOOKUP_KEYS` keys.

        Raises
        ------
        MetadataError
            The metadata database does not answer.
        """
        async with self._asking() as pool:
            _, chunks = await look_up(pool, database, director, keys)
        return chunks

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def _asking(self) -> "AsyncIterator[asyncpg.Pool]":
        try:
            if self._pool is None:
                async with self._opening:
                    self._pool = self._pool or await self._open()
            yield self._pool
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            msg = f"the metadata database does not answer: {error or type(error).__name__}; is the cluster up (`qserv status`)?"
            raise MetadataError(msg) from error

    async def _open(self) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            host=self._url.host,
            port=self._url.port,
            user=self._url.username,
            password=self._url.password,
            database=self._url.database,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_TIMEOUT_S,
            reset=_nothing_to_reset,
        )


async def _nothing_to_reset(connection: "asyncpg.Connection") -> None:
    """Spare the driver's own reset, one more round trip: nothing asked here changes the state of a connection."""

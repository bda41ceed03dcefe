"""Notices that the metadata server has fallen silent: its connections stay open, and nothing ever comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakSet

import asyncpg
from sqlalchemy.engine import URL

SILENCE_S = 10.0
"""Default of the setting ``metadata_silence_s``: a server that works answers a new connection in milliseconds."""

LOST = (
    *(OSError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError),
    *(asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)
"""What the driver raises when its server went away, or takes no connection, as while it starts. Its internal error is one of
them: it is raised where the server has said goodbye on a connection, until the driver sees that the connection is closed."""

TIMES_ASKED = 2
"""A server that does not answer is asked again: the event loop may have been held up itself."""


class Watch:
    """The connections of one engine: broken off, so that whoever waits for an answer gets an error, when their server is silent.

    A statement may take as long as it needs: while it does, the server is asked over a new connection whether it lives.
    """

    def __init__(self, url: URL, silence_s: float) -> None:
        self._url, self._silence_s = url, silence_s
        self._connections: WeakSet[asyncpg.Connection] = WeakSet()

    def add(self, connection: "asyncpg.Connection") -> None:
        """Break this connection off, too."""
        self._connections.add(connection)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch while the block runs."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._silence_s)
            for _ in range(TIMES_ASKED):
                if await self._answers():
                    break
            else:
                self._break_off()

    def _break_off(self) -> None:
        for connection in list(self._connections):
            connection.terminate()

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(**address(self._url), timeout=self._silence_s)
        except asyncpg.PostgresError:
            return True  # such as too many connections
        except (OSError, TimeoutError, asyncpg.InterfaceError):
            return False
        connection.terminate()
        return True


def address(url: URL) -> dict[str, str | int | bool | None]:
    """Return what the driver wants to know of a URL.

    Without TLS, which embedded servers have not: while the driver asks for it, a connection that is given up stays open.
    """
    return {
        "ssl": False,
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
    }

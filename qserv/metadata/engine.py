"""Connections to the metadata database: SQLAlchemy's async engine over asyncpg."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from qserv.errors import MetadataError
from qserv.failpoints import durable
from qserv.metadata.silence import LOST, SILENCE_S, Watch

POOL_CONNECTIONS = 8
"""Connections a process keeps at most: metadata is read rarely and cached, while PostgreSQL's default limit is 100."""

CONNECT_TIMEOUT_S = 10.0
"""A server on the same network answers in milliseconds; this is long enough for one that recovers from a crash."""


def driver_url(url: str | URL, driver: str) -> URL:
    """Return a PostgreSQL URL of any driver as one for ``driver``, such as ``asyncpg``."""
    return make_url(url).set(drivername=f"postgresql+{driver}")


def make_engine(url: str | URL, silence_s: float = SILENCE_S, connections: int = POOL_CONNECTIONS) -> AsyncEngine:
    """Return an engine for the metadata database; nothing is connected yet.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:port/database``.
    silence_s
        Seconds without an answer after which the server is asked whether it lives; one that does not is given up after three
        times as long.
    connections
        Connections at a time, at the most.
    """
    url = driver_url(url, "asyncpg")
    watch = Watch(url, silence_s)
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"timeout": min(CONNECT_TIMEOUT_S, silence_s), "ssl": False},
        execution_options={"watch": watch},
    )
    event.listen(engine.sync_engine, "connect", lambda opened, _record: watch.add(opened.driver_connection))
    return engine


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection with no open transaction.

    Raises
    ------
    MetadataError
        The database does not answer, or has not the tables of this version.
    """
    where = engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
    watch: Watch = engine.get_execution_options()["watch"]
    try:
        async with watch.watching(), engine.connect() as connection:
            yield connection
    except (TimeoutError, InterfaceError, OperationalError, PoolTimeoutError, *LOST) as error:
        msg = f"metadata database {where} does not answer: {error or type(error).__name__}; is the cluster up (`qserv status`)?"
        raise MetadataError(msg) from error
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None)
        if isinstance(cause, LOST):
            msg = f"metadata database {where} stopped answering: {error.orig}; try again (`qserv status` shows whether it is up)"
            raise MetadataError(msg) from error
        if isinstance(cause, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
            msg = f"metadata database {where} is of another version: {error.orig}; start it with this version (`qserv up`)"
            raise MetadataError(msg) from error
        raise


@asynccontextmanager
async def changing(engine: AsyncEngine, step: str) -> AsyncIterator[AsyncConnection]:
    """Lend a connection in a transaction, committed at the end of the block: a durable step (`qserv.failpoints`).

    Raises
    ------
    MetadataError
        The database does not answer. If it stopped at the end, nobody knows whether the transaction is committed.
    """
    with durable(step):
        async with connect(engine) as connection, connection.begin():
            yield connection


async def asyncpg_connection(connection: AsyncConnection) -> "asyncpg.Connection":
    """Return the driver's own connection, inside SQLAlchemy's transaction, for COPY, which SQLAlchemy does not know."""
    await connection.exec_driver_sql("SELECT 1")  # begins the transaction, which the driver's calls then share
    raw = (await connection.get_raw_connection()).driver_connection
    if not isinstance(raw, asyncpg.Connection):
        msg = f"the metadata database must be reached through asyncpg, not {type(raw).__name__}"
        raise TypeError(msg)
    return raw

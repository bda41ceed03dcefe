"""A metadata server that is frozen is given up, whatever is asked of it; one that computes is waited for."""

import asyncio
import contextlib
import time

import pytest
from sqlalchemy import text

from qserv.errors import MetadataError
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.lookups import Lookups
from qserv.metadata.migrate import upgrade
from tests.support.freezing import frozen, process_of
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio

SILENCE_S = 3.0

BOUND_S = 3 * SILENCE_S + 30.0
"""What the setting promises, and something for a machine that has too much to do."""


async def asked(engine, statement):
    async with connect(engine) as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def failure_of(asking):
    """Return what a question raises, and after how many seconds."""
    begun_s = time.monotonic()
    try:
        await asking
    except MetadataError as error:
        return error, time.monotonic() - begun_s
    return None, time.monotonic() - begun_s


async def found_again(ask):
    """Return the first answer of a server that has much to do when it goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(MetadataError):
                return await ask()


async def test_a_frozen_server_is_given_up_and_found_again(empty_database, postgres_cluster):
    upgrade(empty_database)
    engine, lookups = make_engine(empty_database, SILENCE_S), Lookups(empty_database, SILENCE_S)
    await lookups.catalogue_version()
    computing = asyncio.create_task(failure_of(asked(engine, "SELECT 1 FROM pg_sleep(100)")))
    await asyncio.sleep(0.5)
    with frozen(process_of(postgres_cluster.home, "metadata-postgres")):
        # More than there are connections.
        asking = [failure_of(asked(engine, "SELECT 1")) for _ in range(12)]
        looking = [failure_of(lookups.catalogue_version()) for _ in range(6)]
        found = await asyncio.gather(computing, *asking, *looking)
    assert [type(error) for error, _ in found] == [MetadataError] * len(found)
    assert max(seconds for _, seconds in found) < BOUND_S
    assert await found_again(lambda: asked(engine, "SELECT 1")) == 1
    assert await found_again(lookups.catalogue_version) >= 0
    await lookups.close()
    await engine.dispose()


async def test_a_server_that_computes_is_waited_for(empty_database):
    engine = make_engine(empty_database, SILENCE_S)
    assert await asked(engine, "SELECT 1 FROM pg_sleep(10)") == 1
    await engine.dispose()

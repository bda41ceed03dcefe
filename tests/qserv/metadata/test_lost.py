"""Connections that the metadata server ends are told of as what can be tried again, at whatever moment it ends them."""

import asyncio
from collections import Counter

import psycopg
import pytest
from sqlalchemy import make_url, text

from qserv.errors import MetadataError
from qserv.metadata.engine import connect
from qserv.metadata.lookups import Lookups
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio

ASKING, ROUNDS = 8, 25
"""Questions of each kind at a time, and how often all connections are ended, at least: hundreds of errors of five kinds."""

END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_connections_ended_at_any_moment_can_be_tried_again(engine):
    lookups, seen = Lookups(engine.url), Counter()

    async def through_sqlalchemy():
        async with connect(engine) as connection, connection.begin():
            await connection.execute(text("SELECT 1"))

    async def hammer(ask):
        while True:
            try:
                await ask()
                seen["answered"] += 1
            except MetadataError as error:
                seen["lost" if error.retryable else "final"] += 1

    asking = [asyncio.create_task(hammer(ask)) for ask in (through_sqlalchemy, lookups.catalogue_version) for _ in range(ASKING)]
    async with asyncio.timeout(PATIENCE_S):
        while min(seen["answered"], seen["lost"]) <= ROUNDS:
            await asyncio.to_thread(end_connections, engine.url)
    failures = [each.exception() for each in asking if each.done()]
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await lookups.close()
    assert failures == []
    assert seen["final"] == 0


def end_connections(url):
    """End all others of a database, again and again."""
    own = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    for _ in range(ROUNDS):
        with psycopg.connect(own, autocommit=True) as session:
            session.execute(END_OTHERS)
            session.execute("SELECT pg_sleep(0.02)")

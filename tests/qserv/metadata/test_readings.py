import asyncio

import pytest

from qserv.metadata.engine import connect
from qserv.metadata.readings import PIECES, Reading, add_readings, forget_readings, read_within
from qserv.metadata.tables import readings

pytestmark = pytest.mark.anyio


async def test_what_czars_tell_is_added_up(engine):
    async with connect(engine) as connection:
        for _ in range(2):
            async with connection.begin():
                await add_readings(connection, {"other": Reading(5, 50), "one": Reading(2**40, 7)}, 3600.0)
        async with connection.begin():
            await add_readings(connection, {}, 3600.0)
            assert await read_within(connection, {"one", "unheard of"}, 3600.0) == {"one": Reading(2**41, 14)}
            assert await read_within(connection, set(), 3600.0) == {}


async def test_what_is_older_than_the_window_counts_no_more(engine):
    async with connect(engine) as connection:
        async with connection.begin():
            await add_readings(connection, {"one": Reading(1, 1)}, 0.3)
        await asyncio.sleep(0.4)
        async with connection.begin():
            await add_readings(connection, {"one": Reading(2, 2)}, 0.3)
            assert await read_within(connection, {"one"}, 0.3) == {"one": Reading(2, 2)}
            assert await read_within(connection, {"one"}, 3600.0) == {"one": Reading(3, 3)}
            await forget_readings(connection, 0.3)
            assert len((await connection.execute(readings.select())).all()) == 1


async def test_a_window_has_few_pieces(engine):
    async with connect(engine) as connection:
        for _ in range(20):
            async with connection.begin():
                await add_readings(connection, {"one": Reading(1, 1)}, 60.0 * PIECES)
        assert len((await connection.execute(readings.select())).all()) <= 2

import numpy as np
import pytest

from qserv.errors import MetadataError
from qserv.metadata.director_index import add_keys, begin_index, complete_index, find_chunks, move_keys, moved_with
from qserv.metadata.engine import connect
from qserv.metadata.lookups import Lookups
from qserv.metadata.registration import publish

pytestmark = pytest.mark.anyio


async def test_version_and_chunks_are_those_that_were_written(engine):
    lookups = Lookups(engine.url)
    try:
        assert await lookups.catalogue_version() == 0
        async with connect(engine) as connection:
            async with connection.begin():
                await begin_index(connection, "stars", "object")
                await add_keys(connection, "stars", "object", np.array([7, -3]), np.array([5, 6]))
                await complete_index(connection, "stars", "object")
            version = await publish(connection, {})
        assert await lookups.catalogue_version() == version == 1
        found = await lookups.chunks_of("stars", "object", [7, 8, -3, 7], version)
        assert [each.tolist() for each in found] == [[-3, 7], [6, 5]]
    finally:
        await lookups.close()


async def test_a_key_that_moved_is_found_where_it_was(engine):
    async with connect(engine) as connection, connection.begin():
        for table in ("object", "other"):
            await begin_index(connection, "stars", table)
            await add_keys(connection, "stars", table, np.array([7, -3]), np.array([5, 6]))
            await complete_index(connection, "stars", table)
        for version, keys, chunks in ((4, [7, -3], [8, 9]), (6, [7], [10]), (8, [-3], [5])):
            await move_keys(connection, "stars", "object", np.array(keys), np.array(chunks), version)
    lookups = Lookups(engine.url)
    seen = {version: (await lookups.chunks_of("stars", "object", [7, -3], version))[1].tolist() for version in range(3, 9)}
    assert seen == {3: [6, 5], 4: [9, 8], 5: [9, 8], 6: [9, 10], 7: [9, 10], 8: [5, 10]}
    assert (await lookups.chunks_of("stars", "other", [7, -3], 3))[1].tolist() == [6, 5]
    await lookups.close()
    async with connect(engine) as connection, connection.begin():
        assert (await find_chunks(connection, "stars", "object", [7, -3]))[1].tolist() == [5, 10]
        assert [each.tolist() for each in await moved_with(connection, "stars", "object", 4)] == [[-3, 7], [6, 5]]
        assert [len(each) for each in await moved_with(connection, "stars", "object", 5)] == [0, 0]
        await connection.exec_driver_sql('DELETE FROM director_index."stars.object" WHERE key = 7')  # withdrawn
        found = [(await find_chunks(connection, "stars", "object", [7, -3], version))[0].tolist() for version in (5, 6)]
        assert found == [[-3, 7], [-3]]
        await begin_index(connection, "stars", "object")
        assert (await connection.exec_driver_sql("SELECT count(*) FROM moved_keys")).scalar_one() == 0


async def test_a_database_that_does_not_answer_is_told_without_the_password(engine):
    lookups = Lookups(engine.url.set(port=1))
    with pytest.raises(MetadataError, match="does not answer") as told:
        await lookups.catalogue_version()
    assert str(engine.url.password) not in str(told.value)
    await lookups.close()

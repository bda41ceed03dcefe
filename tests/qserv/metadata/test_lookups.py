import numpy as np
import pytest

from qserv.errors import MetadataError
from qserv.metadata.director_index import add_keys, begin_index, complete_index
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
        found = await lookups.chunks_of("stars", "object", [7, 8, -3, 7])
        assert [each.tolist() for each in found] == [[-3, 7], [6, 5]]
    finally:
        await lookups.close()


async def test_a_database_that_does_not_answer_is_told_without_the_password(engine):
    lookups = Lookups(engine.url.set(port=1))
    with pytest.raises(MetadataError, match="does not answer") as told:
        await lookups.catalogue_version()
    assert str(engine.url.password) not in str(told.value)
    await lookups.close()

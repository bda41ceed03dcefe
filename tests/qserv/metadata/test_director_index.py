import numpy as np
import pytest

from qserv.errors import IngestError
from qserv.metadata.director_index import LOOKUP_KEYS, drop_index, find_chunks, load_index
from qserv.metadata.engine import connect

pytestmark = pytest.mark.anyio


async def batches(*pairs):
    for keys, chunks in pairs:
        yield np.array(keys, dtype=np.int64), np.array(chunks, dtype=np.int64)


async def test_keys_lead_to_chunks(engine):
    async with connect(engine) as connection:
        assert await load_index(connection, "stars", "object", batches(([7, -3], [5, 6]), ([2**62], [0]))) == 3
        keys, chunks = await find_chunks(connection, "stars", "object", [2**62, 7, 8, 7, -3])
    assert keys.tolist() == [-3, 7, 2**62]
    assert chunks.tolist() == [6, 5, 0]


async def test_loading_twice_is_loading_once(engine):
    async with connect(engine) as connection:
        await load_index(connection, "stars", "object", batches(([1, 2], [5, 5])))
        assert await load_index(connection, "stars", "object", batches(([2, 3], [6, 6]))) == 2
        keys, chunks = await find_chunks(connection, "stars", "object", [1, 2, 3])
    assert (keys.tolist(), chunks.tolist()) == ([2, 3], [6, 6])


async def test_a_key_found_twice_is_named_and_the_former_index_stays(engine):
    async with connect(engine) as connection:
        await load_index(connection, "stars", "object", batches(([1], [5])))
        with pytest.raises(IngestError, match=r"stars\.object.*\(4\)"):
            await load_index(connection, "stars", "object", batches(([4, 5], [5, 5]), ([4], [6])))
    async with connect(engine) as connection:
        assert (await find_chunks(connection, "stars", "object", [1]))[1].tolist() == [5]


async def test_as_many_keys_as_one_lookup_takes(engine):
    keys = np.arange(LOOKUP_KEYS + 1)
    async with connect(engine) as connection:
        await load_index(connection, 'st"ars', "ob%ject", batches((keys, keys % 97)))
        found, chunks = await find_chunks(connection, 'st"ars', "ob%ject", keys[:-1])
        assert (found == keys[:-1]).all()
        assert (chunks == keys[:-1] % 97).all()
        with pytest.raises(ValueError, match="at most 100000"):
            await find_chunks(connection, 'st"ars', "ob%ject", keys)
        await connection.rollback()
        async with connection.begin():
            await drop_index(connection, 'st"ars', "ob%ject")
            left = await connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'director_index'")
            assert left.scalar_one() == 0

import numpy as np
import pytest

from qserv.errors import IngestError
from qserv.metadata.director_index import (
    LOOKUP_KEYS,
    add_keys,
    begin_index,
    complete_index,
    drop_index,
    find_chunks,
)
from qserv.metadata.engine import connect

pytestmark = pytest.mark.anyio


async def write(connection, database, table, *parts):
    """Write an index, in parts of keys and chunks."""
    async with connection.begin():
        await begin_index(connection, database, table)
        for keys, chunks in parts:
            await add_keys(connection, database, table, np.array(keys, dtype=np.int64), np.array(chunks, dtype=np.int64))
        await complete_index(connection, database, table)


async def test_keys_lead_to_chunks(engine):
    async with connect(engine) as connection:
        await write(connection, "stars", "object", ([7, -3], [5, 6]), ([], []), ([2**62], [0]))
        keys, chunks = await find_chunks(connection, "stars", "object", [2**62, 7, 8, 7, -3])
    assert keys.tolist() == [-3, 7, 2**62]
    assert chunks.tolist() == [6, 5, 0]


async def test_loading_twice_is_loading_once(engine):
    async with connect(engine) as connection:
        await write(connection, "stars", "object", ([1, 2], [5, 5]))
    async with connect(engine) as connection:
        await write(connection, "stars", "object", ([2, 3], [6, 6]))
        keys, chunks = await find_chunks(connection, "stars", "object", [1, 2, 3])
    assert (keys.tolist(), chunks.tolist()) == ([2, 3], [6, 6])


async def test_a_key_found_twice_is_named(engine):
    async with connect(engine) as connection:
        with pytest.raises(IngestError, match=r"stars\.object.*\(4\)"):
            await write(connection, "stars", "object", ([4, 5], [5, 5]), ([4], [6]))


async def test_as_many_keys_as_one_lookup_takes(engine):
    keys = np.arange(LOOKUP_KEYS + 1)
    async with connect(engine) as connection:
        await write(connection, 'st"ars', "ob%ject", (keys, keys % 97))
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

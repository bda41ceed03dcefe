"""Columns that are added, in the metadata."""

import pytest

from qserv.metadata.catalogue import ColumnStatistics, load_catalogue, load_changes
from qserv.metadata.columns import NewColumn, aborted, add_column
from qserv.metadata.engine import connect
from qserv.metadata.loads import enqueue, write_end
from qserv.metadata.measured import ColumnRange
from qserv.metadata.merges import is_changing
from qserv.metadata.registration import ChunkRecord, StatisticsRecord, publish, record_chunks
from qserv.metadata.transactions import NewTransaction, begin, begin_to_clear, clear, end, uncleared
from tests.qserv.metadata.test_catalogue import register

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("value", "low", "nulls", "nan"),
    [
        (ColumnRange("7", "7", 0, has_nan=False, has_infinity=True), "7", (0, 0, 0), (False, False, False)),
        (ColumnRange(None, None, 1, has_nan=False, has_infinity=False), None, (10, 20, 0), (False, False, False)),
        (ColumnRange(None, None, 0, has_nan=True, has_infinity=False), None, (0, 0, 0), (True, True, False)),
    ],
)
async def test_a_column_is_the_last_one_with_a_range_in_every_chunk(engine, value, low, nulls, nan):
    async with connect(engine) as connection:
        (table_id, _) = await register(connection, "stars", "object", "other")
        async with connection.begin():
            chunks = [ChunkRecord(6, 20, 0, ("b",)), ChunkRecord(5, 10, 3, ("a",)), ChunkRecord(7, 0, 2, ("a",))]
            await record_chunks(
                connection, table_id, chunks, [StatisticsRecord(5, "id", "1", "2", 0, has_nan=False, has_infinity=False)]
            )
        before = await publish(connection, {table_id: {}})
    async with connect(engine) as connection, connection.begin():
        version = await add_column(connection, NewColumn("stars", ["object"], {"name": "flag", "datatype": "int"}, value))
    async with connect(engine) as connection:
        found = await load_catalogue(connection, statistics=True)
        assert await load_changes(connection, before) is None
    (table,) = found.tables
    assert (found.version, [column["name"] for column in table.columns]) == (version, ["id", "ra", "flag"])
    ends, infinite = (low, low, None), (value.has_infinity, value.has_infinity, False)
    assert table.statistics["flag"] == ColumnStatistics((5, 6, 7), ends, ends, nulls, nan, infinite)
    assert len(table.statistics["id"].chunks) == 1


def addition(name, database="stars"):
    return NewTransaction(name, database, "sky", "me", "here", "qserv 1", "column")


async def test_what_was_aborted_is_known_until_it_is_cleared(engine):
    async with connect(engine) as connection, connection.begin():
        number = await begin(connection, addition("one"))
        assert await is_changing(connection, "sky")
        assert not await is_changing(connection, "other")
        assert await aborted(connection) == []
        await end(connection, number, "it was cancelled")
        assert not await is_changing(connection, "sky")
        await write_end(connection, number, progress={}, report=None, code="ingest")
    async with connect(engine) as connection, connection.begin():
        assert await aborted(connection) == [(number, "stars", "sky")]
        assert await uncleared(connection) == []  # it has no runs, and is not forgotten with those of others
        assert await begin_to_clear(connection, number)
        await clear(connection, number)
        assert await aborted(connection) == []


async def test_what_is_asked_for_again_or_committed_is_not_to_be_cleared(engine):
    async with connect(engine) as connection, connection.begin():
        numbers = [await begin(connection, addition(name, name)) for name in ("one", "two")]
        await end(connection, numbers[0])
        await end(connection, numbers[1], "a node was away")
        assert await aborted(connection) == [(numbers[1], "two", "sky")]
        await write_end(connection, numbers[1], progress={}, report=None, code="ingest")
        await connection.exec_driver_sql("UPDATE transactions SET request_hash = 'same'")
        await enqueue(connection, addition("two", "two"), {"asked": {}}, "same")
        assert await aborted(connection) == []
        assert not await begin_to_clear(connection, numbers[1])

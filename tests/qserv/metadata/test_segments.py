"""Segments in the metadata: what is known of rows of before and new ones, and which segments are merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qserv.ids import Segment
from qserv.metadata.catalogue import KEPT_CHANGES, load_catalogue, load_changes
from qserv.metadata.czars import Czar, give_sign_of_life, remove_czar
from qserv.metadata.engine import connect
from qserv.metadata.merges import end_replaced, small, stand_for, to_merge, unused
from qserv.metadata.registration import ChunkRecord, StatisticsRecord, publish, raise_version, raise_version_of
from qserv.metadata.segments import ORDERS, Appended, BuildKind, append, begin_build, builds, wider
from qserv.metadata.transactions import NewTransaction, begin
from tests.qserv.metadata.test_catalogue import register

pytestmark = pytest.mark.anyio


def range_of(low, high, nulls=0, *, nan=False, chunk=5):
    return StatisticsRecord(chunk, "id", low, high, nulls, has_nan=nan, has_infinity=False)


@pytest.mark.parametrize(
    ("datatype", "old", "new", "expected"),
    [
        ("long", range_of("9", "10"), range_of("-3", "9007199254740993"), ("-3", "9007199254740993", 0)),
        ("double", range_of("1e-300", "2.5"), range_of("-Infinity", "10.0"), ("-Infinity", "10.0", 0)),
        ("string", range_of("b", "z"), range_of("Z", "a"), ("Z", "z", 0)),
        ("timestamp", range_of("2026-01-02 00:00:00", "2026-01-02 00:00:00.5"), range_of("2026-01-02", "2026-01-03"), ...),
        ("long", range_of(None, None, 10), range_of("3", "4", 1), ("3", "4", 11)),
        ("long", range_of("3", "4", 1), range_of(None, None, 7), ("3", "4", 8)),
        ("long", range_of(None, None, 10), range_of(None, None, 7), (None, None, 17)),
        ("string", range_of(None, None), range_of("a", "b"), (None, None, 0)),
        ("double", range_of(None, None, nan=True), range_of("1.0", "2.0"), ("1.0", "2.0", 0)),
    ],
)
def test_a_range_over_rows_of_before_and_new_ones(datatype, old, new, expected):
    """There are 10 rows of before and 7 new ones."""
    expected = ("2026-01-02 00:00:00", "2026-01-03", 0) if expected is ... else expected
    found = wider(old, 10, new, 7, ORDERS.get(datatype, str))
    assert (found.minimum, found.maximum, found.null_count) == expected
    assert found.has_nan is old.has_nan


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=40))
def test_segments_that_are_merged_are_the_small_ones(rows):
    segments = [Segment(number, count, 0) for number, count in enumerate(rows)]
    taken = small(segments)
    left = sorted(set(segments) - set(taken), key=lambda segment: segment.row_count)
    assert len(taken) >= 2
    assert not left or left[0].row_count > sum(segment.row_count for segment in taken)


async def appended(engine, table_id, chunks, *, rows=5):
    """Append rows to chunks; return the segment and the version that shows it."""
    async with connect(engine) as connection, connection.begin():
        segment = await begin_build(connection, "sky", "stars", "object", BuildKind.APPEND)
        transaction = await begin(connection, NewTransaction(f"night {segment}", "stars", "sky", "me", "here", "1", "transaction"))
        records = [ChunkRecord(chunk, rows, 1, ("a",)) for chunk in chunks]
        statistics = [range_of(str(chunk), str(chunk + 1000), chunk=chunk) for chunk in chunks]
        await append(connection, Appended(table_id, segment, records, statistics, {"id": "long"}), transaction)
        return segment, await raise_version_of(connection, {table_id: chunks})


@pytest.fixture
async def table_id(engine):
    async with connect(engine) as connection:
        (table_id,) = await register(connection, "stars", "object")
        await publish(connection, {table_id: {}})
    return table_id


async def read(engine):
    async with connect(engine) as connection:
        (table,) = (await load_catalogue(connection, statistics=True)).tables
    return table


async def test_rows_are_counted_beside_those_of_before(engine, table_id):
    segment, _ = await appended(engine, table_id, [6, 7])
    table = await read(engine)
    assert (table.chunks, table.row_counts, table.overlap_row_counts) == ((5, 6, 7), (10, 25, 5), (3, 1, 1))
    assert table.segments == {6: (Segment(0, 20, 0), Segment(segment, 5, 1)), 7: (Segment(segment, 5, 1),)}
    assert (table.statistics["id"].minimum, table.statistics["id"].maximum) == (("5", "6", "7"), ("99", "1006", "1007"))
    async with connect(engine) as connection:
        assert await builds(connection, "sky", BuildKind.APPEND) == []


async def test_an_append_may_touch_all_chunks_of_the_sky(engine, table_id):
    chunks = list(range(100, 40_100))
    await appended(engine, table_id, chunks)
    assert len((await read(engine)).segments) == len(chunks)


async def test_a_segment_that_others_stand_for_goes_when_no_query_reads_it(engine, table_id):
    for _ in range(3):
        await appended(engine, table_id, [6])
    async with connect(engine) as connection:
        assert await to_merge(connection, 4, 3600.0, 10) == []
        (merge,) = await to_merge(connection, 3, 3600.0, 10)
    assert ([segment.row_count for segment in merge.segments], merge.is_all, merge.nodes) == ([5, 5, 5], False, ("a", "b"))
    async with connect(engine) as connection, connection.begin():
        number = await begin_build(connection, "sky", "stars", "object", BuildKind.MERGE)
        assert await stand_for(connection, merge, number, None)
        version = await raise_version_of(connection, {table_id: [6]})
        await end_replaced(connection, version)
    assert (await read(engine)).segments[6] == (Segment(0, 20, 0), Segment(number, 15, 3))
    czars = [Czar(name, "here", 1) for name in "xy"]
    async with connect(engine) as connection:
        async with connection.begin():
            assert not await stand_for(connection, merge, number + 1, None)  # they are not there any more
            await connection.rollback()
        for oldest, found in ((version - 1, 0), (version, 3), (None, 3)):
            async with connection.begin():
                await give_sign_of_life(connection, czars[0])
                await give_sign_of_life(connection, czars[1], {}, oldest)
            assert len(await unused(connection)) == found
            await connection.rollback()
        async with connection.begin():
            for czar in czars:
                await remove_czar(connection, czar.czar_id)
        assert len(await unused(connection)) == 3
        await begin(connection, NewTransaction("no", "stars", "sky", "me", "here", "1", "withdrawal"))
        assert await unused(connection) == []  # it may read them


async def test_changes_are_known_for_some_time(engine, table_id):
    async with connect(engine) as connection:
        first = (await load_catalogue(connection)).version
    await appended(engine, table_id, [6])
    _, last = await appended(engine, table_id, [7])
    async with connect(engine) as connection:
        changes = await load_changes(connection, first)
    assert (changes.version, changes.tables[0].chunks) == (last, (6, 7))
    async with connect(engine) as connection:
        assert (await load_changes(connection, last)).tables == ()
    async with connect(engine) as connection, connection.begin():
        for _ in range(KEPT_CHANGES):
            await raise_version_of(connection, {})
    async with connect(engine) as connection:
        assert await load_changes(connection, last) is not None
    async with connect(engine) as connection:
        assert await load_changes(connection, last - 1) is None
    async with connect(engine) as connection, connection.begin():
        version = await raise_version(connection)
    async with connect(engine) as connection:
        assert await load_changes(connection, version - 1) is None

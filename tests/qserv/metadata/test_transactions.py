import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from qserv.errors import UnknownNameError
from qserv.metadata import transactions
from qserv.metadata.engine import connect
from qserv.metadata.registration import publish, raise_version
from qserv.metadata.transactions import LEFT_OPEN, Contribution, NewTransaction, TransactionState

pytestmark = pytest.mark.anyio


def new(name, database="sky"):
    return NewTransaction(name, database, database, "me", "here", "qserv 1")


@pytest.fixture
async def connection(engine):
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


async def test_a_transaction_is_committed_with_what_it_took(connection):
    number = await transactions.begin(connection, new("a"))
    taken = [
        Contribution("object", "/data/1.parquet", 10, "abc", 2**40, 3, 1),
        Contribution("source", "http://x/2", None, None, 5, 0, 2),
    ]
    await transactions.contribute(connection, number, taken)
    (opened,) = await transactions.list_transactions(connection, limit=5)
    assert (opened.state, opened.ended, opened.row_count, opened.rejected) == (TransactionState.OPEN, None, 2**40 + 5, 3)
    await transactions.end(connection, number)
    found, files = await transactions.read_transaction(connection, "a")
    assert (found.state, found.error, found.user_name, found.host, found.software) == ("committed", None, "me", "here", "qserv 1")
    assert found.ended >= found.begun
    assert files == taken


async def test_what_has_ended_stays_as_it_is(connection):
    number = await transactions.begin(connection, new("a"))
    await transactions.end(connection, number, "a bad row")
    await transactions.end(connection, number)
    (found,) = await transactions.list_transactions(connection, limit=5)
    assert (found.state, found.error) == (TransactionState.ABORTED, "a bad row")


async def test_the_next_one_aborts_what_was_left_open_in_its_database_alone(connection):
    for name, database in (("a", "sky"), ("b", "other"), ("c", "sky")):
        await transactions.begin(connection, new(name, database))
    found = {each.name: (each.state, each.error) for each in await transactions.list_transactions(connection, limit=5)}
    assert found == {"a": ("aborted", LEFT_OPEN), "b": ("open", None), "c": ("open", None)}
    assert [each.name for each in await transactions.list_transactions(connection, limit=2)] == ["c", "b"]


async def test_it_is_committed_in_the_same_moment_as_its_tables_are_shown(engine):
    async with connect(engine) as connection, connection.begin():
        number = await transactions.begin(connection, new("a"))
    async with connect(engine) as connection:
        with pytest.raises(StatementError, match="not JSON serializable"):
            await publish(connection, {1: object()}, number)
        (found,) = await transactions.list_transactions(connection, limit=1)
        assert found.state is TransactionState.OPEN
    async with connect(engine) as connection:
        await publish(connection, {}, number)
        (found,) = await transactions.list_transactions(connection, limit=1)
        assert found.state is TransactionState.COMMITTED


async def test_each_is_seen_since_the_version_that_commits_it(engine):
    """Also of two that are committed at the same time."""
    seen = text("SELECT name FROM provenance.transactions WHERE version <= :version ORDER BY version")
    async with engine.connect() as one, engine.connect() as other:
        async with one.begin():
            numbers = [await transactions.begin(one, new(name, name)) for name in "ab"]
        first, second = await one.begin(), await other.begin()
        await transactions.end(one, numbers[0])
        waiting = asyncio.create_task(transactions.end(other, numbers[1]))
        await asyncio.sleep(0.2)
        versions = [await raise_version(one)]
        await first.commit()
        assert await waiting
        versions.append(await raise_version(other))
        await second.commit()
        found = [(await one.execute(seen, {"version": version})).scalars().all() for version in (versions[0] - 1, *versions)]
    assert found == [[], ["a"], ["a", "b"]]


async def test_one_that_is_not_there(connection):
    with pytest.raises(UnknownNameError, match="there is no load b; `qserv loads` lists them"):
        await transactions.read_transaction(connection, "b")


async def test_runs_count_when_they_are_taken_and_go_when_nodes_have_none(connection):
    first, second = [await transactions.begin(connection, new(name, name)) for name in "ab"]
    runs = [await transactions.new_run(connection, number, 7) for number in (first, first, first, second)]
    for run in (runs[2], runs[0], runs[3]):
        await transactions.take_run(connection, run)
    assert await transactions.taken_runs(connection, first, 7) == [runs[0], runs[2]]
    assert await transactions.taken_runs(connection, first, 8) == []
    assert await transactions.uncleared(connection) == []
    await transactions.end(connection, first, "a bad row")
    assert await transactions.uncleared(connection) == [first]
    assert await transactions.begin_to_clear(connection, first)
    await transactions.clear(connection, first)
    assert not await transactions.begin_to_clear(connection, first)
    assert await transactions.uncleared(connection) == []
    assert await transactions.taken_runs(connection, first, 7) == []
    assert await transactions.taken_runs(connection, second, 7) == [runs[3]]

"""What is asked at each commit reads nothing of what has ended: a visit is as fast after a million others."""

import pytest
from sqlalchemy import text

from qserv.metadata import columns, loads, merges, transactions
from qserv.metadata.engine import connect

pytestmark = pytest.mark.anyio

FILL = (
    "INSERT INTO chunk_maps (family, overlap_deg, chunks) VALUES ('night', 0.1, '{4}')",
    "INSERT INTO databases (database, family) VALUES ('night', 'night')",
    "INSERT INTO tables (database, name, position, declaration, published) VALUES ('night', 'source', 0, '{}', true)",
    """INSERT INTO chunks (table_id, chunk, row_count, overlap_row_count)
       SELECT table_id, generate_series(1, 1000), 9, 0 FROM tables""",
    "INSERT INTO segments (table_id, chunk, segment, row_count, overlap_row_count) SELECT table_id, chunk, 1, 9, 0 FROM chunks",
    """INSERT INTO transactions (name, database, family, user_name, host, software, kind, state, ended, cleared, version)
       SELECT 'visit-' || number, 'night', 'night', 'me', 'here', '1', 'transaction', 'committed', now(), true, number
       FROM generate_series(1, 4000) AS number""",
    """INSERT INTO appended_chunks (transaction_id, table_id, chunk, row_count, overlap_row_count)
       SELECT transaction_id, table_id, transaction_id % 1000 + 1, 9, 0 FROM transactions, tables""",
    "ANALYZE",
)

READ = text("""
    SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables
    WHERE coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) > 10""")


@pytest.fixture
async def connection(engine):
    """A connection to a database in which 4,000 visits have ended."""
    async with connect(engine) as connection, connection.begin():
        for statement in FILL:
            await connection.execute(text(statement))
    await engine.dispose()  # a server process goes on counting for a second
    async with connect(engine) as connection:
        yield connection


@pytest.mark.parametrize(
    ("ask", "arguments"),
    [
        (loads.waiting, ()),
        (loads.opened, ()),
        (transactions.uncleared, ()),
        (columns.aborted, ()),
        (merges.unused, ()),
        (merges.is_changing, ("night",)),
        (merges.end_replaced, (7,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_a_commit_asks_does_not_read_those_of_before(connection, ask, arguments):
    async with connection.begin():
        await ask(connection, *arguments)
        assert (await connection.execute(READ)).all() == []


async def test_a_chunk_that_goes_is_not_sought_among_all_that_was_appended(connection):
    """PostgreSQL asks so for each chunk of a table that is dropped (ON DELETE CASCADE)."""
    asked = "SELECT FROM appended_chunks WHERE table_id = (SELECT min(table_id) FROM tables) AND chunk = 17"
    (plan,) = (await connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {asked}"))).scalar_one()
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 20

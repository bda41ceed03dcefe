import uuid
from datetime import UTC, datetime, timedelta

import pytest

from qserv.metadata import tables
from qserv.metadata.engine import connect
from qserv.metadata.query_log import QueryEnd, QueryStart, write_queries

pytestmark = pytest.mark.anyio

SUBMITTED = datetime(2026, 7, 13, 12, tzinfo=UTC)


def started(text="SELECT 1"):
    return QueryStart(uuid.uuid4(), "anonymous", "adql", text, SUBMITTED)


def ended(state="completed"):
    return QueryEnd(state, SUBMITTED + timedelta(seconds=1), "scan, combine", 3, 10, 80, None)


async def test_queries_are_written_as_they_start_and_end(engine):
    running, finished, failed = started(), started("SELECT 'é'"), started()
    async with connect(engine) as connection, connection.begin():
        await write_queries(connection, [(running, None), (finished, ended()), (failed, ended("error"))], [])
        await write_queries(connection, [], [(running.query_id, ended("aborted"))])
        rows = {row.query_id: row for row in await connection.execute(tables.queries.select())}
    assert [rows[query.query_id].state for query in (running, finished, failed)] == ["aborted", "completed", "error"]
    row = rows[finished.query_id]
    assert (row.user_name, row.dialect, row.plan_shape) == ("anonymous", "adql", "scan, combine")
    assert (row.text, row.chunk_count, row.row_count, row.byte_count, row.error) == ("SELECT 'é'", 3, 10, 80, None)
    assert row.submitted < row.ended

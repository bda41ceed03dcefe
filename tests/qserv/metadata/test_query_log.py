import uuid

import pytest

from qserv.metadata import tables
from qserv.metadata.engine import connect
from qserv.metadata.query_log import finish_query, start_query

pytestmark = pytest.mark.anyio


async def test_a_query_is_logged_from_start_to_end(engine):
    query_id = uuid.uuid4()
    async with connect(engine) as connection, connection.begin():
        await start_query(connection, query_id, "anonymous", "adql", "SELECT 1")
        row = (await connection.execute(tables.queries.select())).one()
        assert (row.state, row.ended) == ("executing", None)
        await finish_query(connection, query_id, "completed", chunk_count=3, row_count=10, byte_count=80)
        await finish_query(connection, query_id, "aborted", error="too late")
        row = (await connection.execute(tables.queries.select())).one()
    assert row.query_id == query_id
    assert (row.state, row.chunk_count, row.row_count, row.byte_count, row.error) == ("completed", 3, 10, 80, None)
    assert row.submitted <= row.ended

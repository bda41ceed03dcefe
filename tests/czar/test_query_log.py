"""The query log of a czar is written behind the queries' backs; whoever asks for it waits for all that is on its way."""

import asyncio
from uuid import uuid4

import psycopg

from czar.execution import Execution
from czar.query_log import QueryLog
from qserv.cluster import METADATA_DATABASE, Role
from qserv.metadata.engine import make_engine
from tests.support.waiting import until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO queries%'"

LOGGED = "SELECT state FROM queries WHERE query_id = %s"


def test_who_flushes_waits_for_what_is_being_written(archive):
    address, query = archive.cluster.metadata, Execution(uuid4(), "tester", "native", "SELECT 1")
    metadata = make_engine(address.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, archive.secrets))
    conninfo = address.conninfo(Role.ADMIN, METADATA_DATABASE, archive.secrets)

    async def flush_twice(holder, looker):
        log = QueryLog(metadata, "czar of a test")
        log.start(query)
        first = asyncio.create_task(log.flush())
        await asyncio.to_thread(until, lambda: looker.execute(WAITING).fetchone()[0] > 0)
        second = asyncio.create_task(log.flush())  # there is nothing else to write
        await asyncio.sleep(0.1)  # it would return at once, if it did not wait
        assert not second.done()
        holder.rollback()
        await second
        assert looker.execute(LOGGED, [query.query_id]).fetchall() == [("executing",)]
        await first
        await log.close()
        looker.execute("DELETE FROM queries WHERE query_id = %s", [query.query_id])
        await metadata.dispose()

    with psycopg.connect(conninfo) as holder, psycopg.connect(conninfo, autocommit=True) as looker:
        holder.execute("LOCK TABLE queries IN EXCLUSIVE MODE")
        asyncio.run(flush_twice(holder, looker))

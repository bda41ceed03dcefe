"""The metadata database may commit and its answer be lost: what is committed has succeeded, what is not leaves nothing."""

import asyncio
import os
from types import SimpleNamespace

import numpy as np
import psycopg
import pytest

from qserv import failpoints
from qserv.cluster import Role
from qserv.errors import InternalError
from qserv.failpoints import VARIABLE, armed
from qserv.metadata.engine import connect
from qserv.metadata.transactions import TransactionState, list_transactions
from tests.support.killable import load_in_process
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

COUNT = 100


@pytest.fixture
def rows(write):
    columns = {"id": np.arange(COUNT), "ra": np.linspace(0, 359, COUNT), "dec": np.zeros(COUNT), "flux": np.ones(COUNT, np.float32)}
    return write({**columns, "name": ["o"] * COUNT})


@pytest.fixture
def fail(monkeypatch, tmp_path):
    """Let a point fail, in this process."""

    def run(point):
        token = tmp_path / point
        token.touch()
        monkeypatch.setattr(failpoints, "_armed", armed(f"{point}=fail:{token}"))

    return run


async def ended(archive):
    """Return how the last load ended, and the rows that are shown."""
    async with connect(archive.engine) as connection:
        (load,) = await list_transactions(connection, limit=1)
    return load.state, sum(sum(table.row_counts) for table in (await archive.catalogue()).tables if table.database == archive.name)


async def test_a_load_whose_commit_is_not_confirmed_has_succeeded(archive, object_table, rows, fail):
    fail("ingest.publish.after")
    report = await archive.load(archive.database(object_table), object=rows)
    assert report.version == (await archive.catalogue()).version
    assert await ended(archive) == (TransactionState.COMMITTED, COUNT)
    assert not list(archive.runs.rglob("*.arrow"))


@pytest.mark.parametrize("point", ["ingest.publish.before", "ingest.chunks.record.after", "ingest.run.take.after"])
async def test_a_load_that_is_not_committed_leaves_nothing(archive, object_table, rows, fail, point):
    fail(point)
    with pytest.raises(InternalError, match=point):
        await archive.load(archive.database(object_table), object=rows)
    assert await ended(archive) == (TransactionState.ABORTED, 0)
    assert archive.physical_tables() == []
    assert not list(archive.runs.rglob("*.arrow"))


async def test_a_load_that_loses_its_connections_when_it_is_committed_has_succeeded(
    archive, object_table, rows, tmp_path, postgres_cluster
):
    token = tmp_path / "token"
    token.touch()
    process = SimpleNamespace(environment=os.environ | {VARIABLE: f"ingest.publish.after=wait:{token}"})
    load = asyncio.ensure_future(
        asyncio.to_thread(
            load_in_process, archive, archive.database(object_table), {"object": rows}, process, chunk_target_rows=400
        )
    )
    await asyncio.to_thread(until, lambda: not token.exists())
    await archive.engine.dispose()
    address = postgres_cluster.cluster.metadata
    with psycopg.connect(address.conninfo(Role.ADMIN, "postgres", postgres_cluster.secrets), autocommit=True) as admin:
        ended_ones = admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", [archive.engine.url.database]
        ).fetchone()
    assert ended_ones[0] > 1
    (tmp_path / "token.go").touch()
    done = await load
    assert (done.returncode, done.stderr) == (0, "")
    assert await ended(archive) == (TransactionState.COMMITTED, COUNT)
    assert not list(archive.runs.rglob("*.arrow"))

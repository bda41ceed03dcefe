"""Lanes, shared scans and demotion on a real PostgreSQL, through real Flight."""

import contextlib
import dataclasses
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role, Secrets
from qserv.embedded import configuration
from qserv.embedded.launch import embedded_postgres
from qserv.embedded.machine import this_machine
from qserv.errors import QueryCancelledError, TimeLimitError
from qserv.settings import Settings
from schema.physical import relation
from schema.serialise import table_to_json
from tests.support.waiting import PATIENCE_S, until
from tests.workers.conftest import DATABASE
from tests.workers.test_query import STAR, star_rows
from workers.client import WorkerClient
from workers.factory import make_server
from workers.postgresql.priority import NICENESS, give_way
from workers.protocol import ChunkQuery, ChunkTask, Lane
from workers.scheduler import LaneRule, Scheduler
from workers.table_actions import MergeSegments

LONG_S = 2 * PATIENCE_S
"""What a scan takes that nobody cancels: longer than any test waits for its end."""

HELD = "(SELECT 0 FROM pg_advisory_xact_lock_shared(29))"
"""The time that a chunk takes which `holding` keeps from going on."""


@contextlib.contextmanager
def holding(admin):
    """Keep chunks from going on until the block is left."""
    admin.execute("SELECT pg_advisory_lock(29)")
    try:
        yield
    finally:
        admin.execute("SELECT pg_advisory_unlock(29)")


@contextlib.contextmanager
def served(node, secrets, runs, scheduler=None):
    """Serve a node; yield a client."""
    server = make_server(node, secrets, runs, scheduler=scheduler)
    with WorkerClient("127.0.0.1", server.port, secrets.cluster.get_secret_value()) as client:
        yield client
    server.close()


@pytest.fixture
def narrow(node, postgres_cluster, tmp_path):
    """A worker with one slot a lane, whose turns are short."""
    rules = {Lane.INTERACTIVE: LaneRule(slots=1, each=1, turn_s=0.3), Lane.SCAN: LaneRule(slots=1, each=1, turn_s=60)}
    with served(node, postgres_cluster.secrets, tmp_path, Scheduler(rules, most_aside=1)) as client:
        yield client


def sleeping(query_id, *seconds, lane=Lane.SCAN):
    """A query whose chunks take so long."""
    tasks = tuple(ChunkTask(100 + number, {"s": str(each)}) for number, each in enumerate(seconds))
    return ChunkQuery(query_id, "SELECT pg_sleep({s}), 1 AS one", tasks, 2 * LONG_S, lane)


class Asker(threading.Thread):
    """Runs a chunk query to its end; keeps its chunks, or its error."""

    def __init__(self, client, query):
        super().__init__()
        self.chunks, self.error = [], None
        self._client, self._query = client, query
        self.start()

    def run(self):
        try:
            with self._client.query(self._query) as answer:
                for _, mark in answer:
                    self.chunks += mark.chunks if mark.end else ()
        except QueryCancelledError as error:
            self.error = error


def backend(client, query_id, lane):
    """Return the process that served a query of a lane; it is idle now."""
    query = ChunkQuery(
        query_id, "SELECT pg_backend_pid() AS pid FROM {s}", (ChunkTask(100, {"s": "generate_series(1, 1)"}),), 60.0, lane
    )
    with client.query(query) as answer:
        return next(batch["pid"][0].as_py() for batch, _ in answer if batch.num_rows)


def test_backends_of_scans_give_way_to_those_of_look_ups(client, query_id):
    scan, look_up = (backend(client, f"{query_id}-{lane}", lane) for lane in (Lane.SCAN, Lane.INTERACTIVE))
    assert scan != look_up
    assert os.getpriority(os.PRIO_PROCESS, scan) == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, look_up) == os.getpriority(os.PRIO_PROCESS, 0)


def test_backends_of_merges_give_way_to_those_of_commits(client, prepared, load, loader):
    table = prepared(STAR)
    load(table, star_rows([1, 2, 3]), 12)
    niceness = {}
    for background, name in ((False, "qserv-worker-load"), (True, "qserv-worker-merge")):
        segment = 7 + background
        merged = client.merge(MergeSegments(DATABASE, table_to_json(table), 12, [0], [], segment, background=background))
        assert merged.rows == 3
        rows = loader.execute(f"SELECT id FROM {relation(DATABASE, 'star', 12, segment=segment)} ORDER BY id")  # noqa: S608 (ours)
        assert rows.fetchall() == [(1,), (2,), (3,)]
        pids = loader.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name]).fetchall()
        niceness[name] = {os.getpriority(os.PRIO_PROCESS, pid) for (pid,) in pids}
    assert niceness == {"qserv-worker-load": {os.getpriority(os.PRIO_PROCESS, 0)}, "qserv-worker-merge": {NICENESS}}


def group_niceness(pid):
    """Return the priority of a process's session, as ``/autogroup-7 nice 10`` tells it."""
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="Linux does not group processes by session here")
def test_where_sessions_share_the_processor_those_of_scans_give_way(conninfo):
    with psycopg.connect(conninfo) as scan, psycopg.connect(conninfo) as look_up:
        scan_pid, look_up_pid = scan.info.backend_pid, look_up.info.backend_pid
        with socket.socket(fileno=os.dup(scan.fileno())) as connection:
            _, port = connection.getsockname()

        def given_way():
            give_way(scan_pid, port)
            return group_niceness(scan_pid) == NICENESS

        # From others than root the kernel takes one change in a tenth of a second.
        until(given_way)
        assert group_niceness(look_up_pid) == 0


def test_a_connection_over_a_port_that_is_not_the_process_s_changes_nothing():
    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607 (the system's own)
        give_way(process.pid, 5432)
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.terminate()
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_look_up_does_not_wait_for_scans(narrow, query_id):
    scans = [Asker(narrow, sleeping(f"{query_id}-scan-{number}", LONG_S)) for number in range(5)]
    until(lambda: narrow.health()["waiting"] == 4)
    for number in range(10):
        look_up = Asker(narrow, sleeping(f"{query_id}-{number}", 0, lane=Lane.INTERACTIVE))
        look_up.join()
        assert look_up.chunks == [100]
    lanes = narrow.health()["lanes"]
    assert (lanes["scan"]["running"], lanes["scan"]["waiting"]) == (1, 4)
    assert lanes["interactive"]["begun"] == 10
    for number in range(5):
        narrow.cancel(f"{query_id}-scan-{number}")
    for scan in scans:
        scan.join()
        assert isinstance(scan.error, QueryCancelledError)


def test_a_slow_query_of_the_interactive_lane_gives_its_place_up_and_goes_on_among_the_scans(narrow, admin, query_id):
    with holding(admin):
        slow = Asker(narrow, sleeping(query_id, HELD, 0, 0, lane=Lane.INTERACTIVE))
        until(lambda: narrow.health()["lanes"]["interactive"]["aside"] == 1)
        lanes = narrow.health()["lanes"]
        assert (lanes["scan"]["waiting"], lanes["interactive"]["running"], lanes["interactive"]["slow"]) == (2, 0, 1)
        quick = Asker(narrow, sleeping(f"{query_id}-quick", 0, lane=Lane.INTERACTIVE))
        quick.join()
        assert quick.chunks == [100]
        assert slow.is_alive()
    slow.join()
    assert sorted(slow.chunks) == [100, 101, 102]
    lanes = narrow.health()["lanes"]
    assert lanes["scan"]["begun"] >= 1
    assert lanes["interactive"]["aside"] == lanes["scan"]["running"] == 0


def test_a_query_that_waits_between_two_chunks_is_cancelled_at_once(narrow, admin, query_id):
    with holding(admin):
        first = Asker(narrow, sleeping(f"{query_id}-first", HELD, 0.1))
        until(lambda: narrow.health()["lanes"]["scan"]["running"] == 1)
        other = Asker(narrow, sleeping(f"{query_id}-other", LONG_S))
        until(lambda: narrow.health()["waiting"] == 1)
    # The other one joins at chunk 100, and has the only slot while the first one waits for chunk 101.
    until(lambda: first.chunks == [100] and narrow.health()["lanes"]["scan"]["waiting"] == 1)
    assert narrow.cancel(f"{query_id}-first") == 1
    first.join(PATIENCE_S)
    assert isinstance(first.error, QueryCancelledError)
    assert other.is_alive()
    narrow.cancel(f"{query_id}-other")
    other.join()


def test_who_waits_longer_than_its_time_limit_is_told(narrow, query_id):
    scan = Asker(narrow, sleeping(query_id, LONG_S))
    until(lambda: narrow.health()["lanes"]["scan"]["running"] == 1)
    with pytest.raises(TimeLimitError, match="waited for its turn"):
        narrow.query(dataclasses.replace(sleeping(f"{query_id}-other", 0), timeout_s=0.3))
    assert narrow.health()["waiting"] == 0
    narrow.cancel(query_id)
    scan.join()


def test_a_reader_that_stops_reading_holds_up_nobody(node, postgres_cluster, query_id, tmp_path):
    rules = {lane: LaneRule(slots=1, each=3, turn_s=0.3) for lane in Lane}
    with served(node, postgres_cluster.secrets, tmp_path, Scheduler(rules, most_aside=4)) as client:
        tasks = tuple(ChunkTask(chunk, {}) for chunk in range(100, 110))
        sql = "SELECT i, repeat('x', 1000) AS pad FROM generate_series(1, 40000) AS i"
        with client.query(ChunkQuery(query_id, sql, tasks, 600.0)) as slow:
            rows = iter(slow)
            while not next(rows)[1].end:
                pass
            until(lambda: client.health()["lanes"]["scan"]["aside"] >= 1)
            other = Asker(client, sleeping(f"{query_id}-other", 0, 0))
            other.join()
            assert sorted(other.chunks) == [100, 101]
            # Of large answers, one is computed while another one is read.
            lane = client.health()["lanes"]["scan"]
            assert lane["running"] + lane["aside"] <= 2
            assert sum(mark.end for _, mark in rows) == 9


CHUNKS = 40
CHUNK_ROWS = 12_000
LARGE_CHUNKS = 15
LARGE_CHUNK_ROWS = 20_000
BUFFERS_BYTES = 8 * 2**20
"""Of chunks of 1.4 MB and of 2.2 MB: PostgreSQL reads tables above a quarter of its buffers past them, unless told otherwise."""

SCANS = (
    "SELECT count(*) AS n FROM {t} WHERE a < 0.5",
    "SELECT g, count(*) AS n FROM {t} WHERE a < 2 GROUP BY g",
    "SELECT avg(b) AS n FROM {t} WHERE a > 0.3",
    "SELECT sum(a * b) AS n FROM {t} WHERE md5(pad) <> ''",
    "SELECT id FROM {t} WHERE a < 0.1 AND md5(md5(pad)) <> ''",
    "SELECT g, avg(a) AS n, stddev(b) AS s FROM {t} WHERE md5(md5(pad)) <> '' GROUP BY g",
    "SELECT max(id) AS n FROM {t} WHERE md5(md5(md5(pad))) <> ''",
    "SELECT count(DISTINCT g) AS n FROM {t} WHERE md5(md5(md5(md5(pad)))) <> ''",
)
"""Of different speed: without a common order, the quick ones would soon be elsewhere than the slow ones."""


@pytest.fixture(scope="module")
def big(cluster_home):
    """A node whose buffers hold a tenth of its data, with the secrets of its cluster and a session of the admin."""
    settings = Settings(home=cluster_home / "big", nodes=1, tap_port=0, memory_share=0.001)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(configuration, "MIN_SHARED_BUFFERS_BYTES", BUFFERS_BYTES)
        patch.setattr(configuration, "MAX_SHARED_BUFFERS_BYTES", BUFFERS_BYTES)
        cluster = stack.enter_context(embedded_postgres(settings))
        node, secrets = dataclasses.replace(cluster.nodes[0], worker_port=0), Secrets.load(cluster.home)
        with psycopg.connect(node.postgres.conninfo(Role.LOADER, NODE_DATABASE, secrets), autocommit=True) as loader:
            loader.execute("CREATE SCHEMA big; GRANT USAGE ON SCHEMA big TO qserv_reader")
            for table, chunks, rows in (("object", CHUNKS, CHUNK_ROWS), ("source", LARGE_CHUNKS, LARGE_CHUNK_ROWS)):
                for chunk in range(100, 100 + chunks):
                    name = relation("big", table, chunk)
                    loader.execute(
                        f"CREATE TABLE {name} AS SELECT i AS id, random() AS a, random() AS b, i % 50 AS g, repeat('x', 50) AS pad"  # noqa: S608 (a test's own text)
                        f" FROM generate_series(1, {rows}) AS i"
                    )
                    loader.execute(f"GRANT SELECT ON {name} TO qserv_reader")
                    loader.execute(f"VACUUM FREEZE ANALYZE {name}")
        with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets), autocommit=True) as admin:
            yield node, secrets, admin
            # What is gone need not be written when the server stops.
            admin.execute("DROP SCHEMA big CASCADE")


def connections(admin):
    """How many a worker has."""
    return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qserv-worker'").fetchone()[0]


def blocks_of(admin, table):
    """Blocks of the chunks of a table, and how often one was read into the buffers: what backends report when they end, at last."""
    until(lambda: connections(admin) == 0)
    return admin.execute(
        "SELECT sum(relpages), sum(heap_blks_read) FROM pg_class AS c JOIN pg_statio_user_tables AS s ON s.relid = c.oid"
        " WHERE s.schemaname = 'big' AND s.relname LIKE %s",
        [f"{table}%"],
    ).fetchone()


def asked_at_once(client, query_id, table, chunks, statements):
    """Begin scans of all chunks of a table."""
    tasks = tuple(ChunkTask(chunk, {"t": relation("big", table, chunk)}) for chunk in range(100, 100 + chunks))
    return [Asker(client, ChunkQuery(f"{query_id}-{number}", sql, tasks, 600.0)) for number, sql in enumerate(statements)]


def test_scans_of_different_conditions_and_columns_read_a_chunk_once_from_disk(big, query_id, tmp_path):
    node, secrets, admin = big
    blocks, before = blocks_of(admin, "object")
    assert blocks * 8192 > 6 * BUFFERS_BYTES
    most = 0
    with served(node, secrets, tmp_path) as client:
        scans = asked_at_once(client, query_id, "object", CHUNKS, SCANS)
        while any(scan.is_alive() for scan in scans):
            most = max(most, connections(admin))
            time.sleep(0.02)
    assert all(sorted(scan.chunks) == list(range(100, 100 + CHUNKS)) for scan in scans)
    # What is read more than once: 1.0 to 1.3 times on a busy machine, 3.8 times where each scan goes its own way.
    assert blocks_of(admin, "object")[1] - before < 2 * blocks
    # Who waits has no connection.
    assert 1 < most <= this_machine().scans(None)


def test_chunks_that_postgresql_would_read_past_its_buffers_are_read_once_as_well(big, query_id, tmp_path):
    node, secrets, admin = big
    blocks, before = blocks_of(admin, "source")
    assert blocks * 8192 > LARGE_CHUNKS * BUFFERS_BYTES / 4
    with served(node, secrets, tmp_path) as client:
        scans = asked_at_once(client, query_id, "source", LARGE_CHUNKS, SCANS)
        for scan in scans:
            scan.join()
    assert all(sorted(scan.chunks) == list(range(100, 100 + LARGE_CHUNKS)) for scan in scans)
    # As long as the first one is alone, it reads past the buffers: 1.1 to 1.4 times; 3.4 to 3.7 times if all of them do.
    assert blocks_of(admin, "source")[1] - before < 2 * blocks

"""What is looked for after each blow would be found if it were there."""

import contextlib
import subprocess
import sys
import tempfile
import threading

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, SCRATCH_DATABASE, Role
from qserv.supervisor import supervisor
from tests.support.waiting import until


def session(battered, role):
    node = battered.cluster.nodes[0]
    if role == Role.SCRATCH:
        return psycopg.connect(battered.cluster.metadata.conninfo(role, SCRATCH_DATABASE, battered.secrets), autocommit=True)
    return psycopg.connect(node.postgres.conninfo(role, NODE_DATABASE, battered.secrets), autocommit=True)


@contextlib.contextmanager
def open_cursor(battered):
    with session(battered, Role.READER) as connection:
        connection.execute("BEGIN")
        connection.execute("DECLARE rows_left CURSOR FOR SELECT 1")
        yield "node-1: qserv_reader in qserv idle in transaction: DECLARE rows_left"


@contextlib.contextmanager
def temporary_table(battered):
    with session(battered, Role.SCRATCH) as connection:
        connection.execute("CREATE TEMPORARY TABLE merged_left (n integer)")
        yield "merged_left"


@contextlib.contextmanager
def file_of_postgresql(battered):
    with session(battered, Role.READER) as connection:
        connection.execute("SET work_mem = '64kB'")
        connection.execute("BEGIN")
        connection.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT generate_series(1, 100000)")
        connection.execute("COMMIT")
        yield "node-1: pgsql_tmp"


@contextlib.contextmanager
def spilled_chunk(_battered):
    with tempfile.TemporaryFile(prefix="qserv-chunk-"):
        yield "nameless file"


@contextlib.contextmanager
def file_of_the_merger(battered):
    path = battered.leftovers.directory / "qserv-merge-left" / "duckdb.tmp"
    path.parent.mkdir()
    path.write_bytes(b"")
    yield "duckdb.tmp"
    path.unlink()
    path.parent.rmdir()


@contextlib.contextmanager
def process(battered):
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(battered.cluster.home)])
    try:
        until(lambda: any("time.sleep(600)" in one for one in battered.leftovers.found()))
        yield "time.sleep(600)"
    finally:
        stray.kill()
        stray.wait()


@contextlib.contextmanager
def missing_process(battered):
    with pytest.MonkeyPatch.context() as patched:
        # Nobody starts it again before it has been missed: it would be back within half a second.
        patched.setattr(supervisor, "look_after", lambda _watched, _now_s: None)
        battered.kill("node-1-worker")
        yield "node-1"


@contextlib.contextmanager
def thread(_battered):
    over = threading.Event()
    one = threading.Thread(target=over.wait, name="dispatch-node-1")
    one.start()
    yield "thread dispatch-node-1"
    over.set()
    one.join()


@pytest.mark.parametrize(
    "left",
    [
        open_cursor,
        temporary_table,
        file_of_postgresql,
        spilled_chunk,
        file_of_the_merger,
        process,
        missing_process,
        thread,
    ],
)
def test_what_is_left_is_found(battered, left):
    with left(battered) as name:
        found = battered.leftovers.found()
        assert any(name in one for one in found), found


def test_no_server_can_keep_a_transaction_for_later(battered):
    for node in (None, *(node.node for node in battered.cluster.nodes)):
        with battered.admin(node) as connection:
            assert connection.execute("SHOW max_prepared_transactions").fetchone() == ("0",)

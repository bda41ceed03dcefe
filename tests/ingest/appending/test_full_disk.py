"""A node without room for what is appended: nobody sees a part of it, and the commit succeeds once there is room."""

import os
import signal
from contextlib import suppress

import psycopg
import pytest

from ingest.service.models import TransactionRequest
from qserv.cluster import NODE_DATABASE, Role
from qserv.embedded.processes import run_records
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import visit
from tests.ingest.appending.reader import Reader
from tests.ingest.test_full_disk import DISK_KIB, PAGE_BYTES, small_disk
from tests.support.waiting import until


@pytest.fixture
def small_node(night, tmp_path):
    """A disk for all tables that are made on the first node."""
    running, (node, *_) = night.running, night.running.cluster.nodes

    def restart():
        name = f"{node.node}-worker"
        pid = pid_of(running, name)
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid_of(running, name) not in {None, pid})

    with (
        psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, running.secrets), autocommit=True) as admin,
        small_disk(tmp_path / "disk", DISK_KIB) as disk,
    ):
        admin.execute(f"CREATE TABLESPACE small OWNER {Role.LOADER} LOCATION '{disk}'")
        admin.execute(f"ALTER ROLE {Role.LOADER} SET default_tablespace = small")
        restart()
        try:
            yield disk
        finally:
            admin.execute(f"ALTER ROLE {Role.LOADER} RESET default_tablespace")
            restart()
            for kind in ("TABLE", "INDEX"):  # as those of TAP_SCHEMA, which stay
                admin.execute(f"ALTER {kind} ALL IN TABLESPACE small SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")


def fill(path):
    """Write a file until its disk is full."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PAGE_BYTES))


def pid_of(running, name):
    return next((record.process.pid for record in run_records(running.cluster.home) if record.name == name), None)


def test_a_disk_that_is_full_when_a_transaction_is_committed(night, small_node):
    database = night.load(visit(0))
    name = f"{database}-full"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table, rows in visit(1).items():
        night.send(name, "v", table, rows)
    filling = small_node / "filling"
    with Reader(night.running.cluster.home, database) as reader:
        fill(filling)
        night.ingest.commit(name)
        found = night.ingest.finished(name, 120)
        assert (found.state, found.error.code) == (TransactionState.OPEN, "cluster.storage_full")
        assert until(lambda: reader.visits) == {1}
        filling.unlink()
        night.committed(name)
        until(lambda: 2 in reader.visits)
    assert reader.torn == []
    night.is_exactly(database, [0, 1])

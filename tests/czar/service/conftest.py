"""A client of the czar's service of the archive, and queries that take long."""

import os
import time
from dataclasses import dataclass

import psycopg
import pytest

from czar.service.client import Czar
from qserv.cluster import NODE_DATABASE, Role


@pytest.fixture
def czar(archive):
    with Czar.of_home(archive.home, user=f"tester-{os.getpid()}") as client:
        yield client


@dataclass
class Nodes:
    """What the nodes do for queries at this moment, as PostgreSQL sees it."""

    uris: list

    def busy(self, but=""):
        """Return how many sessions answer a query; those that wait for ``but`` do not count."""
        found = 0
        for uri in self.uris:
            with psycopg.connect(uri) as connection:
                asked = (
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND query LIKE '%%hipparcos%%'"
                    " AND wait_event IS DISTINCT FROM %s"
                )
                found += connection.execute(asked, [Role.READER, but]).fetchone()[0]
        return found

    def wait(self, *, busy, within_s):
        deadline = time.monotonic() + within_s
        while (self.busy() > 0) is not busy:
            assert time.monotonic() < deadline, f"the nodes are {'idle' if busy else 'busy'} after {within_s} s"
            time.sleep(0.05)


@pytest.fixture
def nodes(archive):
    return Nodes([node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, archive.secrets) for node in archive.cluster.nodes])

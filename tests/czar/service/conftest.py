"""A client of the czar's service of the archive, and queries that take long."""

import os
from dataclasses import dataclass

import psycopg
import pytest

from czar.service.client import Czar
from qserv.cluster import NODE_DATABASE, Role
from qserv.metadata.jobs import JobState
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def czar(archive):
    user = f"tester-{os.getpid()}"
    with Czar.of_home(archive.home, user=user) as client:
        yield client
        # What a test that failed left behind would fail those after it.
        for job in client.jobs(owner=user, states=[JobState.QUEUED, JobState.RUNNING]):
            client.cancel_job(job.job_id)


def running(czar, **which):
    """Return a query once it is seen to run on the nodes: the one whose fields are these."""

    def found():
        those = (one for one in czar.queries() if one.chunks_total)
        return next((one for one in those if all(getattr(one, name) == value for name, value in which.items())), None)

    return until(found)


@dataclass
class Nodes:
    """What the nodes do for queries at this moment, as PostgreSQL sees it; or another server, whose statements are of a role."""

    uris: list
    role: Role = Role.READER
    says: str = "hipparcos"

    def busy(self, but=""):
        """Return how many sessions answer a query; those that wait for ``but`` do not count."""
        found = 0
        for uri in self.uris:
            with psycopg.connect(uri) as connection:
                asked = (
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND query LIKE %s"
                    " AND wait_event IS DISTINCT FROM %s"
                )
                found += connection.execute(asked, [self.role, f"%{self.says}%", but]).fetchone()[0]
        return found

    def wait(self, *, busy, within_s=PATIENCE_S):
        until(lambda: (self.busy() > 0) is busy, within_s)


@pytest.fixture
def nodes(archive):
    return Nodes([node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, archive.secrets) for node in archive.cluster.nodes])

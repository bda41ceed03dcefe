"""``ingest_cluster``: two nodes, their workers and the ingest service, as the launcher runs them, with failpoints to be armed."""

import os
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.service.client import Ingest
from ingest.service.models import LoadRequest, TransactionRequest
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Cluster, Role, Secrets
from qserv.embedded.processes import run_records
from qserv.settings import Settings
from qserv.supervisor import backoff
from qserv.supervisor.services import ingest_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from tests.support.steps import failpoints
from tests.support.waiting import until

FELIS = """
name: {name}
"@id": "#{name}"
tables:
- name: object
  "@id": "#object"
  primaryKey: "#object.id"
  columns:
  - {{name: id, "@id": "#object.id", datatype: long, nullable: false, "ivoa:ucd": meta.id;meta.main}}
  - {{name: ra, "@id": "#object.ra", datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}}
  - {{name: dec, "@id": "#object.dec", datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}}
- name: source
  "@id": "#source"
  primaryKey: "#source.source_id"
  columns:
  - {{name: source_id, "@id": "#source.source_id", datatype: long, nullable: false}}
  - {{name: object_id, "@id": "#source.object_id", datatype: long, nullable: false}}
"""

PARTITION = """
family: {name}
overlap_deg: 0.1
tables:
  object: {{role: director, ra: ra, dec: dec, director_key: id, frame: {{system: ICRS, epoch: J2000}}}}
  source: {{role: dependent, director: object, director_key: object_id}}
"""

HELD = "worker.run.write.before"
"""Where a load can be held: a worker waits there, the service does not."""


LONGEST_DELAY_S = 1.0
"""Before a process that died is started again."""


@dataclass(frozen=True)
class IngestCluster:
    """A running cluster, and the files by which its processes die or wait at named points."""

    cluster: Cluster
    secrets: Secrets
    tokens: Path
    hold_at: str = HELD
    """The point at which others wait."""

    def metadata(self):
        """Connect to the metadata database."""
        return psycopg.connect(self.cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, self.secrets), autocommit=True)

    def pid(self):
        """Return the process id of the ingest service."""
        return next(record.process.pid for record in run_records(self.cluster.home) if record.name == "ingest")

    def arm(self, point):
        """Let the next process that comes to a point die there."""
        (self.tokens / point).touch()

    def went_off(self, point):
        """Whether a process came there."""
        return not (self.tokens / point).exists()

    def hold(self):
        """Let the next run wait where it is written."""
        (self.tokens / f"{self.hold_at}.go").unlink(missing_ok=True)
        self.arm(self.hold_at)

    def held(self):
        """Wait until one waits."""
        until(lambda: self.went_off(self.hold_at))

    def release(self):
        """Let it go on."""
        self.arm(f"{self.hold_at}.go")

    def signal_service(self, number=signal.SIGKILL):
        """Send the ingest service a signal, and wait until another process has taken its place."""
        before = self.pid()
        os.kill(before, number)
        until(lambda: before not in {record.process.pid for record in run_records(self.cluster.home) if record.name == "ingest"})

    def kill_postgres(self, server):
        """Kill the PostgreSQL of a node, or that of the metadata; it is started again."""
        os.kill(int((self.cluster.home / server / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def segments(self, database):
        """Return the numbers of the segments that nodes have of a database's tables."""
        found = set()
        for node in self.cluster.nodes:
            conninfo = node.postgres.conninfo(Role.READER, NODE_DATABASE, self.secrets)
            with psycopg.connect(conninfo, autocommit=True) as session:
                sql = "SELECT DISTINCT substring(tablename FROM '~([0-9]+)') AS n FROM pg_tables WHERE schemaname = %s"
                found |= {int(number) for (number,) in session.execute(sql, [database]).fetchall() if number}
        return found

    def rows(self, database, table):
        """Return how many base rows the nodes have of a table."""
        total = 0
        for node in self.cluster.nodes:
            conninfo = node.postgres.conninfo(Role.READER, NODE_DATABASE, self.secrets)
            with psycopg.connect(conninfo, autocommit=True) as session:
                sql = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ %s"
                for (name,) in session.execute(sql, [database, rf"^{table}_\d+$"]).fetchall():
                    total += session.execute(f'SELECT count(*) FROM "{database}"."{name}"').fetchone()[0]  # noqa: S608
        return total


@pytest.fixture(scope="session")
def ingest_cluster(cluster_home, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("service-tokens")
    actions = ";".join(f"{name}={'wait' if name == HELD else 'kill'}:{tokens / name}" for name in failpoints())
    settings = Settings(
        home=cluster_home / "ingest", nodes=2, tap_port=0, memory_share=0.1, chunk_target_rows=100, failpoints=actions
    )
    services = lambda found: worker_services(found) + ingest_services(found)  # noqa: E731 (an argument)
    # Tests kill the service over and over: it need not wait ever longer before it is started again.
    with pytest.MonkeyPatch.context() as patched, embedded_cluster(settings, services=services) as cluster:
        patched.setattr(backoff, "LONGEST_DELAY_S", LONGEST_DELAY_S)
        yield IngestCluster(cluster, Secrets.load(cluster.home), tokens)


@pytest.fixture
def ingest(ingest_cluster):
    for token in ingest_cluster.tokens.iterdir():
        token.unlink()
    with Ingest.of_home(ingest_cluster.cluster.home, "tester") as client:
        yield client
        ingest_cluster.release()  # what a test that failed left waiting


class Sky:
    """A database of a test's own, with files for its tables."""

    def __init__(self, directory):
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self.directory = directory
        self.schema = directory / f"{self.name}.yaml"
        self.schema.write_text(FELIS.format(name=self.name))
        (directory / f"{self.name}.partition.yaml").write_text(PARTITION.format(name=self.name))

    def write(self, count, name="rows"):
        """Write objects, and two sources of each; return requests' files."""
        random = np.random.default_rng(count)
        objects = {"id": np.arange(count), "ra": random.uniform(0, 360, count), "dec": random.uniform(-90, 90, count)}
        sources = {"source_id": np.arange(2 * count), "object_id": np.arange(2 * count) // 2}
        made = {}
        for table, columns in {"object": objects, "source": sources}.items():
            pq.write_table(pa.table(columns), self.directory / f"{name}-{table}.parquet")
            made[table] = (str(self.directory / f"{name}-{table}.parquet"),)
        return made

    def request(self, files, **options):
        """Return the request of a load."""
        return LoadRequest(schema_file=str(self.schema), files=files, **options)


@pytest.fixture
def sky(tmp_path):
    return Sky(tmp_path)


@pytest.fixture
def opened(ingest, sky):
    """A database of a test's own, and an open transaction of its name."""
    ingest.begin(sky.name, TransactionRequest(schema_file=str(sky.schema), chunk_order=1))
    yield sky
    ingest.cancel(sky.name)

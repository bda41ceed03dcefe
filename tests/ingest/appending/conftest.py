"""``night``: a cluster to whose published tables rows are appended, and databases with the same rows loaded at once."""

import uuid
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from czar.service.client import Czar
from ingest.service.client import Ingest
from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.cluster import Secrets
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from qserv.settings import Settings
from qserv.supervisor import backoff
from qserv.supervisor.services import czar_services, ingest_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from tests.ingest.service.conftest import LONGEST_DELAY_S, IngestCluster
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
  - {{name: mag, "@id": "#object.mag", datatype: float}}
  - {{name: name, "@id": "#object.name", datatype: string, length: 20}}
- name: source
  "@id": "#source"
  primaryKey: "#source.source_id"
  columns:
  - {{name: source_id, "@id": "#source.source_id", datatype: long, nullable: false}}
  - {{name: object_id, "@id": "#source.object_id", datatype: long, nullable: false}}
  - {{name: ra, "@id": "#source.ra", datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}}
  - {{name: dec, "@id": "#source.dec", datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}}
  - {{name: flux, "@id": "#source.flux", datatype: double}}
  - {{name: band, "@id": "#source.band", datatype: short}}
  - {{name: taken, "@id": "#source.taken", datatype: timestamp}}
- name: pair
  "@id": "#pair"
  columns:
  - {{name: one, "@id": "#pair.one", datatype: long, nullable: false}}
  - {{name: other, "@id": "#pair.other", datatype: long, nullable: false}}
- name: filter
  "@id": "#filter"
  primaryKey: "#filter.band"
  columns:
  - {{name: band, "@id": "#filter.band", datatype: short, nullable: false}}
  - {{name: letter, "@id": "#filter.letter", datatype: char, length: 1}}
"""

PARTITION = """
family: {name}
overlap_deg: 0.5
tables:
  object: {{role: director, ra: ra, dec: dec, director_key: id, frame: {{system: ICRS, epoch: J2000}}}}
  source:
    {{role: dependent, director: object, director_key: object_id, ra: ra, dec: dec, frame: {{system: ICRS, epoch: J2000}},
      time_system: {{timescale: TAI, refposition: TOPOCENTER}}}}
  pair: {{role: ref-match, director: object, director_key: one, second_director: object, second_director_key: other}}
  filter: {{role: replicated}}
"""

HELD_BUILD = "worker.table.load.before"
"""Where an append can be held: a worker waits there."""

TABLES = ("object", "source", "pair", "filter")


def rows_of(seed, first=0, objects=300):
    """Return rows of each table: objects in two fields, some at RA = 0, the poles and nowhere; sources, pairs and a filter."""
    random = np.random.default_rng(seed)
    ids = np.arange(first, first + objects) + 2**53
    ra = np.where(ids % 2, random.uniform(-2, 2, objects) % 360, random.uniform(0, 360, objects))
    dec = np.where(ids % 2, random.uniform(-2, 2, objects), np.degrees(np.arcsin(random.uniform(-1, 1, objects))))
    ra[:4], dec[:4] = [0.0, 359.99999, 12.0, 77.0], [0.0, 0.0, 90.0, -89.99]
    nowhere = np.arange(objects) == 5
    mags = random.uniform(14, 25, objects).astype(np.float32)
    own = random.integers(0, objects, 3 * objects)
    own = own[own != 5]
    near = random.uniform(-0.05, 0.05, (2, len(own)))
    numbers = np.arange(len(own)) + 10 * first
    lone = {"ra": pa.array(ra, mask=nowhere), "dec": pa.array(dec, mask=nowhere)}
    return {
        "object": pa.table(
            {
                "id": ids,
                **lone,
                "mag": pa.array(mags, mask=random.random(objects) < 0.1),
                "name": [f"o{number}" for number in ids],
            }
        ),
        "source": pa.table(
            {
                "source_id": numbers,
                "object_id": ids[own],
                "ra": (ra[own] + near[0]) % 360,
                "dec": np.clip(dec[own] + near[1], -90, 90),
                "flux": random.lognormal(3, 2, len(own)),
                "band": pa.array(numbers % 6, pa.int16()),
                "taken": pa.array(numbers * 1_000_003 + 10**15, pa.timestamp("us")),
            }
        ),
        "pair": pa.table({"one": ids[own[:50]], "other": ids[(own[:50] + 2) % objects]}),
        "filter": pa.table({"band": pa.array([first // 100], pa.int16()), "letter": [chr(65 + first % 26)]}),
    }


OBJECTS, SOURCES = 40, 120
"""Rows of a visit."""


def visit(number):
    """Return the rows of a visit: objects in several chunks, three sources of each, and a filter."""
    random = np.random.default_rng(number)
    ids = 2**53 + 1_000 * number + np.arange(OBJECTS)
    ra, dec = random.uniform(0, 90, OBJECTS), random.uniform(-60, 60, OBJECTS)
    own = np.arange(SOURCES) % OBJECTS
    places = {"source_id": 1_000 * number + np.arange(SOURCES), "object_id": ids[own], "ra": ra[own], "dec": dec[own]}
    none = {"band": pa.nulls(SOURCES, pa.int16()), "taken": pa.nulls(SOURCES, pa.timestamp("us"))}
    return {
        "object": pa.table({"id": ids, "ra": ra, "dec": dec, "mag": np.float32(ra), "name": [f"v{number}"] * OBJECTS}),
        "source": pa.table(places | {"flux": random.normal(size=SOURCES)} | none),
        "filter": pa.table({"band": pa.array([number], pa.int16()), "letter": ["x"]}),
    }


@dataclass
class Night:
    """A running cluster with its clients, and a directory for files."""

    running: IngestCluster
    ingest: Ingest
    czar: Czar
    directory: object

    def schema(self, felis=FELIS, partition=PARTITION):
        """Write the schema of a new database; return its file."""
        path = self.directory / f"n{uuid.uuid4().hex[:12]}.yaml"
        path.write_text(felis.format(name=path.stem))
        path.with_suffix(".partition.yaml").write_text(partition.format(name=path.stem))
        return path

    def load(self, rows, schema=None, **options):
        """Load rows of tables into a new database; return its name."""
        schema = schema or self.schema()
        name = f"{schema.stem}-load"
        self.ingest.begin(name, TransactionRequest(schema_file=str(schema), **{"chunk_order": 0, **options}))
        for table in rows:
            self.send(name, "load", table, rows[table])
        return self.committed(name).database

    def files(self, rows):
        """Write rows of tables; return the files."""
        paths = {table: self.directory / f"{uuid.uuid4().hex}.parquet" for table in rows}
        for table, path in paths.items():
            pq.write_table(rows[table], path)
        return paths

    def is_exactly(self, database, visits):
        """Check that a database has the rows of some visits, and that nodes have nothing else."""
        for table, key in (("object", "id"), ("source", "source_id"), ("filter", "band")):
            wanted = sorted(value for number in visits for value in visit(number)[table][key].to_pylist())
            found = self.czar.query(f"SELECT {key} FROM {database}.{table} ORDER BY {key}")[key].to_pylist()  # noqa: S608 (names of ours)
            assert found == wanted, table
        self.has_nothing_else(database)

    def has_nothing_else(self, database):
        """Check that nodes have the segments of a database that the metadata name, and no others."""
        with self.running.metadata() as session:
            sql = "SELECT segment FROM segments JOIN tables USING (table_id) WHERE database = %s AND segment <> 0"
            # Segments are merged meanwhile; what is made for that, or not needed after it, comes to an end.
            until(lambda: session.execute("SELECT count(*) FROM segment_builds").fetchone() == (0,))
            until(lambda: self.running.segments(database) == {number for (number,) in session.execute(sql, [database]).fetchall()})

    def send(self, transaction, name, table, rows, **options):
        """Send rows of a table, and wait until they are taken."""
        path = self.files({table: rows})[table]
        self.ingest.send(transaction, f"{name}-{table}", ContributionRequest(table=table, source=str(path), **options))
        found = self.ingest.contribution(transaction, f"{name}-{table}", 60)
        assert found.state is ContributionState.DONE, found.files
        return found

    def committed(self, transaction):
        """Commit a transaction, and wait until it is."""
        self.ingest.commit(transaction)
        found = self.ingest.finished(transaction, 120)
        assert found.state is TransactionState.COMMITTED, found.error
        return found

    def append(self, database, rows, name=None):
        """Append rows of some tables to a database; return the load."""
        name = name or f"{database}-{uuid.uuid4().hex[:8]}"
        self.ingest.begin(name, TransactionRequest(append_to=database))
        for table in rows:
            self.send(name, "visit", table, rows[table])
        return self.committed(name)

    def ask(self, database, query):
        """Return the rows of a query, in any order, with ``{db}`` for the database."""
        return sorted(map(repr, self.czar.query(query.format(db=database)).to_pylist()))


@pytest.fixture(scope="session")
def night_cluster(cluster_home, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("night-tokens")
    actions = ";".join(f"{name}={'wait' if name == HELD_BUILD else 'kill'}:{tokens / name}" for name in failpoints())
    settings = Settings(
        home=cluster_home / "night", nodes=2, tap_port=0, memory_share=0.1, failpoints=actions, merge_segments=3, merge_quiet_s=2
    )
    services = lambda found: worker_services(found) + czar_services(found) + ingest_services(found)  # noqa: E731 (an argument)
    with pytest.MonkeyPatch.context() as patched, embedded_cluster(settings, services=services) as cluster:
        patched.setattr(backoff, "LONGEST_DELAY_S", LONGEST_DELAY_S)
        yield IngestCluster(cluster, Secrets.load(cluster.home), tokens, HELD_BUILD)


@pytest.fixture
def night(night_cluster, tmp_path):
    home = night_cluster.cluster.home
    for token in night_cluster.tokens.iterdir():
        token.unlink()
    with Ingest.of_home(home, "tester") as ingest, Czar.of_home(home, user="tester") as czar:
        yield Night(night_cluster, ingest, czar, tmp_path)
        night_cluster.release()

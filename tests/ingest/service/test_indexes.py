"""Indexes of published tables, made and dropped by the service while queries go on."""

import psycopg
import pytest

from ingest.service.models import IndexRequest
from qserv.cluster import NODE_DATABASE, Role
from qserv.errors import IngestError, LoadNameError, SchemaError, UnknownNameError
from qserv.metadata.transactions import TransactionState
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

POINTS = [point for point in failpoints() if ".indexing." in point]


WITH_INDEX = """
    SELECT count(*) FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE t.relnamespace = %s::regnamespace AND t.relname ~ '^object_' AND %s = ARRAY(
        SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY k.place)"""


@pytest.fixture
def loaded(ingest, sky):
    """A database with its tables."""
    ingest.submit(f"{sky.name}-1", sky.request(sky.write(500)))
    assert ingest.finished(f"{sky.name}-1").state is TransactionState.COMMITTED
    return sky


def on_nodes(cluster, database, columns):
    """Return how many physical tables of object the nodes have, and how many of these have an index on some columns."""
    tables = indexes = 0
    for node in cluster.cluster.nodes:
        with psycopg.connect(node.postgres.conninfo(Role.READER, NODE_DATABASE, cluster.secrets), autocommit=True) as session:
            sql = "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename ~ '^object_'"
            tables += session.execute(sql, [database]).fetchone()[0]
            indexes += session.execute(WITH_INDEX, [database, list(columns)]).fetchone()[0]
    return tables, indexes


def indexes(ingest, sky):
    return {table.name: table.indexes for table in ingest.database(sky.name).tables}["object"]


def done(ingest, sky, name, **asked):
    insist(lambda: ingest.index(name, sky.name, "object", IndexRequest(**asked)))
    return until(lambda: found if (found := insist(lambda: ingest.load(name, 5))).settled else None)


def test_an_index_is_made_and_dropped_on_all_chunks(ingest, ingest_cluster, loaded):
    assert set(indexes(ingest, loaded)) == {("id",)}
    made = done(ingest, loaded, f"{loaded.name}-2", columns=("ra", "dec"))
    assert (made.kind, made.state, made.error) == ("index", TransactionState.COMMITTED, None)
    tables, with_index = on_nodes(ingest_cluster, loaded.name, ("ra", "dec"))
    assert tables == with_index > 10
    assert [stage.done for stage in made.progress] == [tables]
    assert ("ra", "dec") in indexes(ingest, loaded)
    assert done(ingest, loaded, f"{loaded.name}-2", columns=("ra", "dec")) == made
    dropped = done(ingest, loaded, f"{loaded.name}-3", columns=("ra", "dec"), drop=True)
    assert dropped.state is TransactionState.COMMITTED
    assert on_nodes(ingest_cluster, loaded.name, ("ra", "dec")) == (tables, 0)
    assert on_nodes(ingest_cluster, loaded.name, ("id",)) == (tables, tables)
    assert set(indexes(ingest, loaded)) == {("id",)}


def test_what_cannot_be_indexed_is_said_at_once(ingest, loaded):
    with pytest.raises(SchemaError, match="has no column 'raa'"):
        ingest.index("x1", loaded.name, "object", IndexRequest(columns=("raa",)))
    with pytest.raises(IngestError, match="it belongs to the key"):
        ingest.index("x2", loaded.name, "object", IndexRequest(columns=("id",), drop=True))
    with pytest.raises(IngestError, match="there is none"):
        ingest.index("x3", loaded.name, "object", IndexRequest(columns=("dec",), drop=True))
    with pytest.raises(UnknownNameError, match="no published table"):
        ingest.index("x4", loaded.name, "objects", IndexRequest(columns=("id",)))
    with pytest.raises(LoadNameError):
        ingest.index(f"{loaded.name}-1", loaded.name, "object", IndexRequest(columns=("dec",)))


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_who_makes_an_index_is_killed_anywhere(point, ingest, ingest_cluster, loaded):
    ingest_cluster.arm(point)
    made = done(ingest, loaded, f"{loaded.name}-2", columns=("dec", "ra"))
    assert (made.state, made.error) == (TransactionState.COMMITTED, None)
    tables, with_index = on_nodes(ingest_cluster, loaded.name, ("dec", "ra"))
    assert tables == with_index
    assert ("dec", "ra") in indexes(ingest, loaded)
    assert ingest_cluster.went_off(point)


def test_each_step_of_indexing_is_met():
    assert {point.rpartition(".")[0] for point in POINTS} == {
        "service.indexing.enqueue",
        "service.indexing.declare",
        "worker.indexing.table",
    }

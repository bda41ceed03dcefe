"""Objects whose new versions lie in other chunks: all that hangs on them moves there, and nobody sees it half done."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest

from czar.service.client import Czar
from ingest.service.models import TransactionRequest
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.test_merges import merged
from tests.ingest.appending.test_torn import OF_MOVES, append
from tests.ingest.appending.test_versions import PARTS, QUERIES, VERSIONED, VISITS, objects, sources
from tests.support.steps import failpoints
from tests.support.waiting import until

NARROW = PARTS.replace("margin_arcsec: 600", "margin_arcsec: 1")
COPIED = NARROW.replace("{{role: dependent, director: object,", "{{role: dependent, overlap: true, director: object,")

OF_KEYS = (
    "SELECT source_id, flux FROM {db}.source WHERE object_id IN (9007199254740992, 9007199254740994, 9007199254741004)",
    "SELECT o.id, source_id FROM {db}.object o JOIN {db}.source s ON object_id = o.id WHERE o.id BETWEEN {low} AND {low} + 8",
    "SELECT * FROM {db}.object_history WHERE id IN (9007199254740992, 9007199254740996, 9007199254741012)",
    "SELECT COUNT(*) FROM {db}.source a, {db}.source b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.1 AND a.flux < b.flux",
)
ASKED = (*QUERIES, *(query.replace("{low}", str(2**53)) for query in OF_KEYS))

POINTS = [point for point in failpoints() if point.startswith(OF_MOVES)]


def far(ids, epoch):
    """Return rows of objects at an epoch, on the other side of the sky."""
    rows = objects(ids, epoch)
    ra = np.array([None if ra is None else (ra + 180) % 360 for ra in rows["ra"].to_pylist()], dtype=object)
    return rows.set_column(1, "ra", pa.array(ra, pa.float64()))


def rows_of(visits):
    """Return what tables have after visits, each a function that gives rows of objects, and their numbers."""
    current, former = {}, []
    for epoch, (placed, ids) in enumerate(visits):
        for row in placed(ids, epoch).to_pylist():
            if (before := current.get(row["id"])) is not None:
                former.append({**before, "ends": row["begins"]})
            current[row["id"]] = row
    schema = objects([0], 0).schema
    seen = pa.concat_tables([sources(ids, epoch) for epoch, (_, ids) in enumerate(visits)])
    rows = {"object": pa.Table.from_pylist([*current.values()], schema), "source": seen}
    return rows | {"object_history": pa.Table.from_pylist(former, schema)}


def appended(night, visits, schema):
    """Load the first visit, append the others: sources before the objects where these are there already."""
    first, known = visits[0]
    database = night.load({"object": first(known, 0), "source": sources(known, 0)}, schema)
    for epoch, (placed, ids) in enumerate(visits[1:], 1):
        rows = {"source": sources(ids, epoch), "object": placed(ids, epoch)}
        order = sorted(rows, reverse=set(ids) <= set(known))
        night.append(database, {table: rows[table] for table in order}, f"{database}-{epoch}")
        known = [*known, *ids]
    return database


def differing(night, one, other):
    return [query for query in ASKED if night.ask(one, query) != night.ask(other, query)]


SMALL = [(objects, ids) for ids in VISITS]
LARGE = [(objects, range(60)), (far, range(0, 60, 3)), (objects, [*range(0, 60, 6), 100, 101]), (far, [3, 100, 5, 7])]


@pytest.mark.parametrize(
    ("visits", "partition"),
    [
        pytest.param(SMALL, NARROW, id="near"),
        pytest.param(LARGE, NARROW, id="far", marks=pytest.mark.nightly(share=0)),
        pytest.param(LARGE, COPIED, id="copies"),
    ],
)
def test_all_is_as_if_it_had_been_loaded_where_it_is_now(visits, partition, night):
    database = appended(night, visits, night.schema(VERSIONED, partition))
    rows = rows_of(visits)
    loaded = night.load(rows, night.schema(VERSIONED, partition))
    assert differing(night, database, loaded) == []
    with night.running.metadata() as session:
        (moved,) = session.execute("SELECT count(*) FROM moved_keys WHERE database = %s", [database]).fetchone()
        assert moved > 10
        counts = """
            SELECT sum(row_count), sum(overlap_row_count) FROM chunks JOIN tables USING (table_id)
            WHERE database = %s AND name = %s"""
        for table in rows:
            one, other = (session.execute(counts, [name, table]).fetchone() for name in (database, loaded))
            assert (table, one) == (table, other)
    merged(night, database)
    assert differing(night, database, loaded) == []
    for table in rows:
        one, other = (night.ingest.table(name, table) for name in (database, loaded))
        assert (one.rows, one.statistics) == (other.rows, other.statistics)


def test_rows_of_earlier_transactions_can_be_withdrawn_where_they_are_now(night):
    schema = night.schema(VERSIONED, COPIED)
    database = night.load({"object": objects(range(30), 0), "source": sources(range(30), 0)}, schema)
    night.append(database, {"source": sources(range(0, 30, 2), 5)}, f"{database}-seen")
    night.append(database, {"object": objects([1000], 0)}, f"{database}-new")
    night.append(database, {"object": far([*range(0, 30, 3), 1000], 1)}, f"{database}-moved")
    night.ingest.withdraw(f"{database}-early", f"{database}-new")
    found = night.ingest.finished(f"{database}-early", 60)
    assert found.error.message.endswith("were followed by those of other transactions; withdraw these first")
    night.ingest.withdraw(f"{database}-yes", f"{database}-seen")
    found = night.ingest.finished(f"{database}-yes", 60)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    left = night.load(
        rows_of([(objects, [*range(30), 1000]), (far, [*range(0, 30, 3), 1000])]) | {"source": sources(range(30), 0)},
        night.schema(VERSIONED, COPIED),
    )
    assert differing(night, database, left) == []


def test_one_key_in_two_chunks_of_a_transaction_is_refused(night):
    database = appended(night, SMALL[:1], night.schema(VERSIONED, NARROW))
    name = f"{database}-twice"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.send(name, "here", "object", objects([7], 1))
    night.send(name, "there", "object", far([7], 2))
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert found.state is TransactionState.OPEN
    assert f"id {2**53 + 7} occurs twice in what was sent" in found.error.message
    night.ingest.cancel(name)
    night.ingest.finished(name)
    assert night.ask(database, "SELECT name FROM {db}.object WHERE id = 9007199254740999") == ["{'name': 'v0'}"]
    night.has_nothing_else(database)


def test_a_row_that_would_move_to_one_of_its_key_is_refused(night):
    database = night.load({"object": objects([1, 3], 0), "source": sources([1], 0)}, night.schema(VERSIONED, NARROW))
    again = sources([3], 0).set_column(0, "source_id", pa.array([1]))
    night.append(database, {"source": again})  # a primary key is unique in a chunk
    name = f"{database}-moved"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    (row,) = objects([3], 0).to_pylist()
    there = objects([1], 1).set_column(1, "ra", pa.array([row["ra"]])).set_column(2, "dec", pa.array([row["dec"]]))
    night.send(name, "there", "object", there)
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert (found.state, "Key (source_id)=(1) is there already" in found.error.message) == (TransactionState.OPEN, True)
    night.ingest.cancel(name)
    night.ingest.finished(name)
    night.has_nothing_else(database)


def test_objects_do_not_leave_rows_that_are_withheld(night):
    database = night.load({"object": objects([1, 3], 0), "source": sources([1], 0)}, night.schema(VERSIONED, NARROW))
    before = night.ask(database, OF_OBJECTS)
    night.ingest.withhold(database, "source")
    name = f"{database}-moved"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.send(name, "there", "object", far([1], 1))
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert (found.state, "table source, whose rows have to move with them, is withheld" in found.error.message) == (
        TransactionState.OPEN,
        True,
    )
    night.ingest.cancel(name)
    night.ingest.finished(name)
    assert night.ask(database, OF_OBJECTS) == before
    night.ingest.publish(database)
    night.append(database, {"object": far([1], 1)})
    assert night.ask(database, OF_OBJECTS) != before
    assert len(night.ask(database, "SELECT flux FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id")) == 1
    night.has_nothing_else(database)


OF_OBJECTS = "SELECT * FROM {db}.object"

OF_SOME = """
    SELECT o.id, o.begins, COUNT(s.source_id) AS found FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id
    WHERE o.id IN (9007199254740992, 9007199254740995, 9007199254740998) GROUP BY o.id, o.begins"""


@contextmanager
def asked_by_key(night, database):
    """Ask for some objects all the time; yield the list of what each answer tells: visits that are seen, their sources, objects."""
    over, seen = threading.Event(), []

    def ask():
        with Czar.of_home(night.running.cluster.home, user="reader") as czar:
            while not over.is_set():
                rows = czar.query(OF_SOME.format(db=database)).to_pylist()
                seen.append({(row["begins"] - 60_000 + 1, row["found"], len(rows)) for row in rows})

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask) for _ in range(2)]
        try:
            yield seen
        finally:
            over.set()
        for one in asking:
            one.result()


def test_objects_are_found_by_their_keys_while_they_move(night):
    database = night.load({"object": objects(range(9), 0), "source": sources(range(9), 0)}, night.schema(VERSIONED, NARROW))
    with asked_by_key(night, database) as seen:
        for epoch in range(1, 6):
            placed = far if epoch % 2 else objects
            night.append(database, {"object": placed(range(9), epoch), "source": sources(range(9), epoch)})
        until(lambda: {(6, 6, 3)} in seen)
    assert {number for answer in seen for number, *_ in answer} == {1, 2, 3, 4, 5, 6}
    assert [answer for answer in seen if len(answer) != 1 or answer != {(number, number, 3) for number, *_ in answer}] == []


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_objects_move(point, night):
    visits = LARGE[:2]
    database = appended(night, visits[:1], night.schema(VERSIONED, COPIED))
    night.running.arm(point)
    found = append(night, database, 1, {"source": sources(LARGE[1][1], 1), "object": far(LARGE[1][1], 1)})
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert night.running.went_off(point)
    loaded = night.load(rows_of(visits), night.schema(VERSIONED, COPIED))
    assert differing(night, database, loaded) == []
    night.has_nothing_else(database)

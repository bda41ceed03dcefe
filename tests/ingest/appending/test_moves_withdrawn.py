"""A transaction that moved objects is withdrawn: these are where they were before, with all that came to them since."""

import numpy as np
import pyarrow as pa
import pytest

from partitioner.healpix import pixel_of
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.stored import stored
from tests.ingest.appending.test_moves import NARROW, asked_by_key, far
from tests.ingest.appending.test_reassociations import ASKED, COPIED, FELIS, PLAIN, sources
from tests.ingest.appending.test_versions import DEC, QUERIES, RA, VERSIONED, objects
from tests.ingest.appending.test_versions import sources as plain_sources
from tests.ingest.appending.test_withdrawals import withdrawn
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

POINTS = [point for point in failpoints() if point.startswith("ingest.withdraw.")]

TABLES = ("object", "object_history", "source", "source_history")

VISITS = {
    "load": {"object": objects(range(40), 0), "source": sources(range(80), np.arange(80) % 40, 0)},
    "before": {"object": objects([0, 1, 2, 100], 1), "source": sources([2, 3, 40, 41, 90], [22, 23, 0, 1, 3], 1, gone=[41])},
    "bad": {
        "object": pa.concat_tables([far([0, 1, 3, 5, 9, 20, 33, 100, *range(10, 20)], 2), objects([7, 21, 200], 2)]),
        "source": sources([0, 2, 4, 5, 95, 20, 41, 42], [0, 20, 5, 39, 33, 11, 1, 3], 2),
    },
    "since": {
        "object": objects([23, 24, 300], 3),
        "source": sources([45, 60, 73, 1, 90, 500, 501, 502, 503], [23, 0, 5, 3, 8, 0, 5, 33, 24], 3),
    },
}
"""What is bad moves objects in opposite directions; what came since, and before, goes to these objects, and leaves them."""


def appended(night, visits, partition=COPIED):
    """Load the first visit, append the others; return the database."""
    database = night.load(VISITS["load"], night.schema(FELIS, partition), replicas=2)
    for name in visits:
        night.append(database, VISITS[name], f"{database}-{name}")
    return database


def taken_back(night, transaction):
    found = withdrawn(night, transaction)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)


def is_like(night, database, other):
    """Check that two databases answer alike, and that nodes have the same rows in the same places, and all know that."""
    assert [query for query in ASKED if night.ask(database, query) != night.ask(other, query)] == []
    for table in TABLES:
        one, another = (night.ingest.table(name, table) for name in (database, other))
        assert (one.rows, one.overlap_rows, one.statistics) == (another.rows, another.overlap_rows, another.statistics)
    assert stored(night, database) == stored(night, other)
    night.has_nothing_else(database)


def moved_keys(night, database):
    """Return where keys were, by them: until which versions of the catalogue, in which chunks, and where they are, if anywhere."""
    sql = f"""
        SELECT key, array_agg(version ORDER BY version), array_agg(moved.chunk ORDER BY version), index.chunk
        FROM moved_keys AS moved LEFT JOIN director_index."{database}.object" AS index USING (key) WHERE database = %s
        GROUP BY key, index.chunk"""  # noqa: S608 (a name of ours)
    with night.running.metadata() as session:
        return {key: found for key, *found in session.execute(sql, [database]).fetchall()}


@pytest.mark.parametrize("partition", [pytest.param(PLAIN, marks=pytest.mark.nightly(share=0)), COPIED], ids=["plain", "copies"])
def test_what_stays_is_as_if_nothing_had_moved(partition, night):
    database = appended(night, ["before", "bad", "since"], partition)
    there = [(chunks, now) for _, chunks, now in moved_keys(night, database).values()]
    ways = {(chunks[0], now) for chunks, now in there if len(chunks) == 1}
    assert any((now, before) in ways for before, now in ways)
    before = moved_keys(night, database)
    taken_back(night, f"{database}-bad")
    is_like(night, database, appended(night, ["before", "since"], partition))
    with night.running.metadata() as session:
        names = [f"{database}-bad", f"no-{database}-bad"]
        (moved, back) = (
            session.execute("SELECT version FROM transactions WHERE name = %s", [name]).fetchone()[0] for name in names
        )
    after = moved_keys(night, database)
    for key, (versions, chunks, now) in before.items():
        same = moved not in versions
        assert after[key] == ([versions, chunks, now] if same else [[*versions, back], [*chunks, now], chunks[-1]])
    assert after[2**53 + 200][::2] == [[back], None]
    # All others can be withdrawn from where their rows are now, and the bad rows can come again.
    night.append(database, VISITS["bad"], f"{database}-again")
    for name in ("again", "since", "before"):
        taken_back(night, f"{database}-{name}")
    assert stored(night, database) == stored(night, appended(night, [], partition))


def placed(ids, epoch, by):
    """Return rows of objects, so many degrees of right ascension from where they are."""
    rows = objects(ids, epoch)
    return rows.set_column(1, "ra", pa.array((rows["ra"].to_numpy() + by) % 360))


def test_an_object_that_moved_twice_goes_back_step_by_step(night):
    database, shown = night.load(VISITS["load"], night.schema(FELIS, COPIED), replicas=2), []
    for epoch in (1, 2, 3):
        shown.append(([night.ask(database, query) for query in ASKED], stored(night, database)))
        ids, seen = [0, 3, 4, 20, 21][: 5 - epoch], sources([epoch, 1000 + epoch], [0, 3], epoch)
        night.append(database, {"object": placed(ids, epoch, 90 * epoch), "source": seen}, f"{database}-{epoch}")
    found = withdrawn(night, f"{database}-2")
    assert found.error.message.endswith("were followed by those of other transactions; withdraw these first")
    for epoch in (3, 2, 1):
        taken_back(night, f"{database}-{epoch}")
        assert ([night.ask(database, query) for query in ASKED], stored(night, database)) == shown.pop()
    night.has_nothing_else(database)


def test_rows_that_came_since_are_found_where_they_are(night):
    """What came to an object where it was is far from it afterwards; regions lead there all the same."""
    database = night.load({"object": objects(range(40), 0), "source": sources([1], [1], 0)}, night.schema(FELIS, PLAIN))
    night.append(database, {"object": far([5, 7], 1)}, f"{database}-bad")
    there = far([5], 1).to_pylist()[0]
    near = sources([70], [5], 2)
    for column, name in enumerate(("ra", "dec"), 2):
        near = near.set_column(column, name, pa.array([there[name]]))
    night.append(database, {"source": near})
    region = f"SELECT source_id FROM {{db}}.source WHERE CONTAINS(POINT(ra, dec), CIRCLE({there['ra']}, {there['dec']}, 0.1)) = 1"  # noqa: S608 (numbers)
    assert night.ask(database, region) == ["{'source_id': 70}"]
    taken_back(night, f"{database}-bad")
    assert night.ask(database, region) == ["{'source_id': 70}"]
    assert night.ask(database, OF_OBJECT) == ["{'id': 9007199254740997, 'source_id': 70}"]


OF_OBJECT = "SELECT o.id, source_id FROM {db}.object o JOIN {db}.source s ON object_id = o.id WHERE o.id = 9007199254740997"


def of_object(source, number, ra=None, dec=None):
    """Return the row of a source of an object, and where it is."""
    row = plain_sources([source], 0).set_column(1, "object_id", objects([number], 0)["id"])
    return row.set_column(2, "ra", pa.array([ra], pa.float64())).set_column(3, "dec", pa.array([dec], pa.float64()))


def test_what_cannot_go_back_stays_where_it_is(night):
    chunks = [None if number == 9 else int(pixel_of(RA[number], DEC[number])) >> 58 for number in range(10)]
    beside = chunks.index(chunks[0], 1)
    database = night.load({"object": objects(range(10), 0), "source": of_object(1, 1)}, night.schema(VERSIONED, NARROW))
    loaded = [night.ask(database, query) for query in QUERIES]
    somewhere = objects([9], 1).set_column(1, "ra", pa.array([12.0])).set_column(2, "dec", pa.array([3.0]))
    visits = {
        "placed": {"object": somewhere},
        "moved": {"object": far([0], 1)},
        "of-9": {"source": of_object(7, 9, 12.0, 3.0)},
        "of-0": {"source": of_object(8, 0)},
        "beside": {"source": of_object(8, beside)},  # a primary key is unique in a chunk
    }
    for name, rows in visits.items():
        night.append(database, rows, f"{database}-{name}")
    before = [night.ask(database, query) for query in QUERIES]
    found = withdrawn(night, f"{database}-placed")
    assert found.error.message == (
        "rows of table source that came with other transactions have positions, and their row of object, such as object_id "
        f"{2**53 + 9}, would have none; withdraw these transactions first"
    )
    found = withdrawn(night, f"{database}-moved")
    assert "Key (source_id)=(8)" in found.error.message
    assert [night.ask(database, query) for query in QUERIES] == before
    night.has_nothing_else(database)
    taken_back(night, f"{database}-beside")
    taken_back(night, f"{database}-of-9")
    for name in ("placed", "moved", "of-0"):
        night.ingest.withdraw(f"yes-{database}-{name}", f"{database}-{name}")
        assert night.ingest.finished(f"yes-{database}-{name}", 60).error is None
    assert [night.ask(database, query) for query in QUERIES] == loaded


def test_objects_are_found_by_their_keys_while_they_go_back(night):
    rows = {"object": objects(range(9), 0), "source": sources(range(9), range(9), 0)}
    database = night.load(rows, night.schema(FELIS, PLAIN))
    with asked_by_key(night, database) as seen:
        for turn in range(4):
            visit = {"object": far(range(9), 1), "source": sources(range(100, 109), range(9), 1)}
            night.append(database, visit, f"{database}-{turn}")
            taken_back(night, f"{database}-{turn}")
        until(lambda: {(1, 1, 3)} in seen[-1:])
    assert {(2, 2, 3)} in seen
    assert [answer for answer in seen if answer not in ({(1, 1, 3)}, {(2, 2, 3)})] == []


@pytest.fixture(scope="module")
def left():
    """Name of the database to which nothing bad came, once there is one."""
    return []


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_objects_go_back(point, left, night):
    database = appended(night, ["before", "bad", "since"])
    night.running.arm(point)
    insist(lambda: night.ingest.withdraw(f"no-{database}", f"{database}-bad"))
    found = until(lambda: one if (one := insist(lambda: night.ingest.load(f"no-{database}", 5))).settled else None)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert night.running.went_off(point)
    left[:] = left or [appended(night, ["before", "since"])]
    is_like(night, database, *left)

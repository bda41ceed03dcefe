"""Rows of a dependent that follow others of their primary key: with another director, in another chunk, or where they were."""

import numpy as np
import pyarrow as pa
import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.test_merges import merged
from tests.ingest.appending.test_moves import NARROW, far
from tests.ingest.appending.test_torn import OF_REPLACED, append
from tests.ingest.appending.test_versions import QUERIES, VERSIONED, objects
from tests.support.steps import failpoints

SINCE = """
  - {{name: since, "@id": "#source.since", datatype: timestamp, nullable: false}}
  - {{name: until, "@id": "#source.until", datatype: timestamp}}
  - {{name: gone, "@id": "#source.gone", datatype: timestamp}}
"""
TAKEN = '  - {{name: taken, "@id": "#source.taken", datatype: timestamp}}\n'
FELIS = VERSIONED.replace(TAKEN, TAKEN + SINCE.lstrip("\n"))
OF_SOURCES = "versions: {{start: since, end: until, history: source_history, withdrawn: gone}}, "
PLAIN = NARROW.replace("{{role: dependent, director: object,", "{{role: dependent, " + OF_SOURCES + "director: object,")
COPIED = PLAIN.replace("director: object,", "overlap: true, director: object,", 1)
OF_TWO = FELIS.replace('primaryKey: "#source.source_id"', 'primaryKey: ["#source.source_id", "#source.band"]').replace(
    '"#source.band", datatype: short}}', '"#source.band", datatype: short, nullable: false}}'
)

ASKED = (
    *QUERIES,
    "SELECT * FROM {db}.source",
    "SELECT * FROM {db}.source_history",
    "SELECT * FROM {db}.source WHERE object_id IN (9007199254740992, 9007199254740995, 9007199254741000)",
    "SELECT o.id, COUNT(*), MAX(until) FROM {db}.object o JOIN {db}.source_history h ON h.object_id = o.id GROUP BY o.id",
    "SELECT COUNT(*) FROM {db}.source a, {db}.source b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.1 AND a.flux < b.flux",
)

POINTS = [point for point in failpoints() if point.startswith(OF_REPLACED)]


def sources(numbers, of, epoch, gone=()):
    """Return rows of sources of some objects, where the objects of the first epoch are; some are withdrawn."""
    numbers = np.asarray(numbers)
    near = objects(of, 0)
    return pa.table(
        {
            "source_id": numbers,
            "object_id": near["id"],
            "ra": near["ra"],
            "dec": near["dec"],
            "flux": np.full(len(numbers), float(epoch)),
            "band": pa.array(numbers % 6, pa.int16()),
            "taken": pa.array(numbers * 1_000_003 + 10**15, pa.timestamp("us")),
            "since": pa.array(np.full(len(numbers), 10**15 + epoch), pa.timestamp("us")),
            "until": pa.nulls(len(numbers), pa.timestamp("us")),
            "gone": pa.array([10**15 + epoch if number in gone else None for number in numbers.tolist()], pa.timestamp("us")),
        }
    )


EPOCHS = (
    {"object": objects(range(40), 0), "source": sources(range(80), np.arange(80) % 40, 0)},
    {"source": sources([*range(0, 30, 2), *range(80, 90)], [*range(1, 31, 2), *range(10)], 1)},
    {"source": sources([0, 2, 4, 85, 50, 20], [0, 20, 5, 39, 33, 11], 2, gone=[20, 50]), "object": far([0, 5, 20, 33], 2)},
    {"source": sources([0, 7, 50, 2000, 2001], [0, 0, 33, 0, 1], 3, gone=[2001]), "object": objects([0, 21], 3)},
)
"""Sources that stay with their objects and others that do not, in the transaction in which these move and before it; some are
withdrawn, and one of them comes again.
"""


def rows_of(epochs):
    """Return what tables have after transactions."""
    found = {}
    for table, key, start, end in (("object", "id", "begins", "ends"), ("source", "source_id", "since", "until")):
        current, former = {}, []
        for epoch in epochs:
            for row in epoch[table].to_pylist() if table in epoch else ():
                if (before := current.pop(row[key], None)) is not None:
                    former.append({**before, end: row[start]})
                if row.get("gone") is None:
                    current[row[key]] = row
                else:
                    former.append(row)
        schema = epochs[0][table].schema
        found[table] = pa.Table.from_pylist([*current.values()], schema)
        found[f"{table}_history"] = pa.Table.from_pylist(former, schema)
    return found


def appended(night, epochs, schema):
    database = night.load(epochs[0], schema)
    for number, rows in enumerate(epochs[1:], 1):
        night.append(database, rows, f"{database}-{number}")
    return database


def differing(night, one, other):
    return [query for query in ASKED if night.ask(one, query) != night.ask(other, query)]


@pytest.mark.parametrize(("felis", "partition"), [(FELIS, PLAIN), (OF_TWO, COPIED)], ids=["one column", "two, and copies"])
def test_all_is_as_if_the_last_rows_had_been_loaded(felis, partition, night):
    database = appended(night, EPOCHS, night.schema(felis, partition))
    rows = rows_of(EPOCHS)
    assert rows["source_history"].num_rows == 26
    loaded = night.load(rows, night.schema(felis, partition))
    assert differing(night, database, loaded) == []
    with night.running.metadata() as session:
        counts = """
            SELECT sum(row_count), sum(overlap_row_count) FROM chunks JOIN tables USING (table_id)
            WHERE database = %s AND name = %s"""
        for table in rows:
            one, other = (session.execute(counts, [name, table]).fetchone() for name in (database, loaded))
            assert (table, one) == (table, other)
    merged(night, database)
    assert differing(night, database, loaded) == []
    night.has_nothing_else(database)


def test_withdrawn_rows_are_followed_no_more(night):
    schema = night.schema(FELIS, COPIED)
    database = appended(night, EPOCHS[:2], schema)
    night.append(database, {"source": sources([2, 3, 90, 6, 91], [30, 31, 3, 3, 4], 2, gone=[6, 91])}, f"{database}-last")
    night.ingest.withdraw(f"{database}-no", f"{database}-1")
    found = night.ingest.finished(f"{database}-no", 60)
    assert found.error.message.startswith("rows of table source, such as source_id 2, were followed by those of other transactions")
    for name in ("last", "1"):
        night.ingest.withdraw(f"{database}-no-{name}", f"{database}-{name}")
        found = night.ingest.finished(f"{database}-no-{name}", 60)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        left = night.load(rows_of(EPOCHS[: 2 if name == "last" else 1]), night.schema(FELIS, COPIED))
        assert differing(night, database, left) == []


def test_a_transaction_that_only_withdrew_rows_is_taken_back(night):
    database = appended(night, EPOCHS[:1], night.schema(FELIS, COPIED))
    night.append(database, {"source": sources([5, 6, 700], [5, 6, 9], 1, gone=[5, 6, 700])}, f"{database}-gone")
    assert night.ask(database, "SELECT source_id FROM {db}.source WHERE source_id IN (5, 6, 700)") == []
    night.ingest.withdraw(f"{database}-no", f"{database}-gone")
    found = night.ingest.finished(f"{database}-no", 60)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert differing(night, database, appended(night, EPOCHS[:1], night.schema(FELIS, COPIED))) == []


def test_rows_that_may_have_come_again_stay_where_they_are(night):
    database = appended(night, EPOCHS[:1], night.schema(FELIS, PLAIN))
    night.append(database, {"source": sources([5, 7, 800], [9, 9, 9], 1, gone=[5])}, f"{database}-changed")
    night.append(database, {"source": sources([5], [20], 2)})
    before = [night.ask(database, query) for query in ASKED]
    night.ingest.withdraw(f"{database}-no", f"{database}-changed")
    found = night.ingest.finished(f"{database}-no", 60)
    why = "rows of table source that it withdrew may have come again with later transactions"
    assert (found.state, why in found.error.message) == (TransactionState.ABORTED, True)
    assert [night.ask(database, query) for query in ASKED] == before


def test_rows_that_were_withdrawn_again_do_not_go_back(night):
    database = appended(night, EPOCHS[:1], night.schema(FELIS, PLAIN))
    night.append(database, {"source": sources([5], [5], 1, gone=[5])}, f"{database}-gone")
    night.append(database, {"source": sources([5], [5], 2, gone=[5])}, f"{database}-again")
    before = [night.ask(database, query) for query in ASKED]
    night.ingest.withdraw(f"{database}-no", f"{database}-gone")
    found = night.ingest.finished(f"{database}-no", 60)
    assert (found.state, "may have come again with later transactions" in found.error.message) == (TransactionState.ABORTED, True)
    assert [night.ask(database, query) for query in ASKED] == before


@pytest.mark.parametrize(
    "order", [("changed", "seen", "moved"), ("changed", "moved", "seen"), ("moved", "changed", "seen")], ids="-".join
)
def test_rows_go_back_to_where_their_objects_are_now(order, night):
    visits = {
        "seen": {"source": sources([700, 701, 702], [5, 0, 20], 1)},
        "changed": {"source": sources([5, 45, 700, 701, 800], [9, 9, 9, 5, 20], 2)},
        "moved": {"object": far([0, 5], 3)},
    }
    schema = night.schema(FELIS, COPIED)
    database = night.load(EPOCHS[0], schema)
    for name, rows in visits.items():
        night.append(database, rows, f"{database}-{name}")
    for name in order:
        night.ingest.withdraw(f"{database}-no-{name}", f"{database}-{name}")
        found = night.ingest.finished(f"{database}-no-{name}", 60)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        del visits[name]
        left = appended(night, [EPOCHS[0], *visits.values()], night.schema(FELIS, COPIED))
        assert differing(night, database, left) == []


def test_a_first_load_has_no_withdrawn_rows(night):
    schema = night.schema(FELIS, PLAIN)
    night.ingest.begin(schema.stem, TransactionRequest(schema_file=str(schema), chunk_order=0))
    night.send(schema.stem, "o", "object", objects(range(3), 0))
    path = night.files({"source": sources([5, 6], [1, 2], 1, gone=[6])})["source"]
    night.ingest.send(schema.stem, "s", ContributionRequest(table="source", source=str(path)))
    found = night.ingest.contribution(schema.stem, "s", 60)
    assert "row 2, column 'gone'" in found.files[0].error.message
    assert "the row is withdrawn: it belongs into table source_history" in found.files[0].error.message
    night.ingest.cancel(schema.stem)


def test_rows_that_make_no_sense_are_refused(night):
    database = appended(night, EPOCHS[:1], night.schema(FELIS, PLAIN))
    for rows, why in (
        ([sources([5], [7], 0)], "the row of source_id 5 does not begin (since) after the one that is there"),
        ([sources([5], [1], 1), sources([5], [3], 2)], "source_id 5 occurs twice in what was sent"),
    ):
        name = f"{database}-{len(rows)}"
        night.ingest.begin(name, TransactionRequest(append_to=database))
        for number, part in enumerate(rows):
            night.send(name, str(number), "source", part)
        night.ingest.commit(name)
        found = night.ingest.finished(name, 60)
        assert found.state is TransactionState.OPEN
        assert why in found.error.message
        night.ingest.cancel(name)
        night.ingest.finished(name)
    night.has_nothing_else(database)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_rows_get_other_directors(point, night):
    database = appended(night, EPOCHS[:2], night.schema(FELIS, COPIED))
    night.running.arm(point)
    found = append(night, database, 2, EPOCHS[2])
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert night.running.went_off(point)
    loaded = night.load(rows_of(EPOCHS[:3]), night.schema(FELIS, COPIED))
    assert differing(night, database, loaded) == []
    night.has_nothing_else(database)

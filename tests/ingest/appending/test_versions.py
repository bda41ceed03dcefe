"""Rows of a director that follow others of their key: one table has the last of each, another one those before."""

import healpy
import numpy as np
import pyarrow as pa
import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from partitioner.healpix import pixel_of
from qserv.errors import QservError
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import FELIS, PARTITION
from tests.ingest.appending.test_merges import merged
from tests.ingest.appending.test_torn import OF_VERSIONS, append
from tests.ingest.appending.test_withdrawals import OF_VERSIONS as RESTORING
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

COLUMNS = """
  - {{name: begins, "@id": "#object.begins", datatype: double, nullable: false}}
  - {{name: ends, "@id": "#object.ends", datatype: double}}
"""

VERSIONED = FELIS.replace(
    '  - {{name: name, "@id": "#object.name", datatype: string, length: 20}}\n',
    '  - {{name: name, "@id": "#object.name", datatype: string, length: 20}}' + COLUMNS,
)
VERSIONED = VERSIONED[: VERSIONED.index("- name: pair")] + VERSIONED[VERSIONED.index("- name: filter") :]

PARTS = PARTITION.replace(
    "director_key: id, frame",
    "director_key: id, versions: {{start: begins, end: ends, history: object_history, margin_arcsec: 600}}, frame",
)
PARTS = "".join(line + "\n" for line in PARTS.splitlines() if "pair:" not in line)

OBJECTS = 400

SKY = np.random.default_rng(7)
RA, DEC = SKY.uniform(0, 360, OBJECTS), np.degrees(np.arcsin(SKY.uniform(-1, 1, OBJECTS)))
EDGE = np.degrees(healpy.vec2dir(healpy.boundaries(1, 4, step=1500)))
RA[::2], DEC[::2] = EDGE[1][1400:1600] % 360, 90 - EDGE[0][1400:1600]
RA[1:5:2], DEC[1:5:2] = [0.0, 200.0], [89.99, -89.99]
"""Half of them lie along two edges of a base pixel and at the corner between these, others next to the poles."""


def objects(ids, epoch):
    """Return rows of objects at an epoch: each moves by up to five arcminutes from one to the next."""
    ids = np.asarray(ids)
    random = np.random.default_rng([epoch, 3])
    moved = random.uniform(-0.08, 0.08, (2, OBJECTS)) if epoch else np.zeros((2, OBJECTS))
    dec = np.clip(DEC + moved[1], -90, 90)[ids % OBJECTS]
    ra = (RA + moved[0] / np.maximum(np.cos(np.radians(DEC)), 0.01))[ids % OBJECTS] % 360
    nowhere = ids % OBJECTS == 9
    return pa.table(
        {
            "id": ids + 2**53,
            "ra": pa.array(ra, mask=nowhere),
            "dec": pa.array(dec, mask=nowhere),
            "mag": (14 + (ids % 97) / 10 + epoch / 100).astype(np.float32),
            "name": [f"v{epoch}"] * len(ids),
            "begins": [60_000.0 + epoch] * len(ids),
            "ends": pa.nulls(len(ids), pa.float64()),
        }
    )


def sources(ids, epoch):
    ids = np.asarray(ids)
    of = objects(ids, epoch)
    none = {"band": pa.nulls(len(ids), pa.int16()), "taken": pa.nulls(len(ids), pa.timestamp("us"))}
    numbers = {"source_id": ids + epoch * 100_000, "object_id": of["id"], "ra": of["ra"], "dec": of["dec"]}
    return pa.table(numbers | {"flux": np.full(len(ids), float(epoch))} | none)


QUERIES = (
    "SELECT * FROM {db}.object",
    "SELECT * FROM {db}.object_history",
    "SELECT COUNT(*), COUNT(ra), MIN(mag), MAX(name), MAX(begins) FROM {db}.object",
    "SELECT name, COUNT(*), MIN(ends), MAX(ends) FROM {db}.object_history GROUP BY name",
    "SELECT * FROM {db}.object WHERE id IN (9007199254740993, 9007199254741002, 9007199254741390)",
    "SELECT id, begins FROM {db}.object WHERE CONTAINS(POINT(ra, dec), CIRCLE(45.1, 3, 0.4)) = 1",
    "SELECT id, begins FROM {db}.object WHERE CONTAINS(POINT(ra, dec), CIRCLE(44.95, -3, 12)) = 1",
    "SELECT id, begins FROM {db}.object_history WHERE CONTAINS(POINT(ra, dec), CIRCLE(0, 10, 12)) = 1",
    "SELECT id FROM {db}.object WHERE ra BETWEEN 44.99 AND 45.0",
    "SELECT id FROM {db}.object WHERE dec > 89 OR ra IS NULL",
    "SELECT source_id FROM {db}.source WHERE CONTAINS(POINT(ra, dec), CIRCLE(45, 0, 9)) = 1",
    "SELECT a.id, b.id AS other FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.3 AND a.id <> b.id",
    "SELECT COUNT(*) FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.1 AND a.id < b.id",
    "SELECT COUNT(*) FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.45 AND a.id < b.id",
    "SELECT o.id, source_id FROM {db}.object o, {db}.source s WHERE DISTANCE(o.ra, o.dec, s.ra, s.dec) < 0.05 AND id <> object_id",
    "SELECT o.id, begins, COUNT(source_id) FROM {db}.object o JOIN {db}.source s ON object_id = o.id GROUP BY o.id, begins",
    "SELECT o.id, h.begins FROM {db}.object o JOIN {db}.object_history h ON h.id = o.id WHERE h.ends = o.begins",
    "SELECT id, begins, ends FROM {db}.object UNION ALL SELECT id, begins, ends FROM {db}.object_history",
)


def expected(visits):
    """Return the rows of current and former versions after some visits, each the objects that it saw."""
    current, former = {}, []
    for epoch, ids in enumerate(visits):
        for row in objects(ids, epoch).to_pylist():
            if (before := current.get(row["id"])) is not None:
                former.append({**before, "ends": row["begins"]})
            current[row["id"]] = row
    schema = objects([0], 0).schema
    return pa.Table.from_pylist([*current.values()], schema), pa.Table.from_pylist(former, schema)


VISITS = (range(OBJECTS), range(0, OBJECTS, 2), [*range(0, OBJECTS, 3), *range(1000, 1020)], range(5, 7), range(1000, 1010))


def appended(night, visits, schema=None):
    """Load the first visit, append the others; return the database."""
    database = night.load(
        {"object": objects(visits[0], 0), "source": sources(visits[0], 0)}, schema or night.schema(VERSIONED, PARTS)
    )
    for epoch, ids in enumerate(visits[1:], 1):
        night.append(database, {"object": objects(ids, epoch), "source": sources(ids, epoch)}, f"{database}-{epoch}")
    return database


def is_elsewhere(row):
    """Whether an object is not in the chunk of its first version."""
    number = row["id"] - 2**53
    if row["ra"] is None or number >= OBJECTS:
        return False
    (first,) = objects([number], 0).to_pylist()
    now, then = (int(pixel_of(each["ra"], each["dec"])) >> 58 for each in (row, first))
    return now != then


POINTS = [point for point in failpoints() if point.startswith((*OF_VERSIONS, "ingest.append.begin", "ingest.append.publish"))]


def test_the_last_versions_and_those_before_are_as_if_they_had_been_loaded(night):
    database = appended(night, VISITS)
    current, former = expected(VISITS)
    rows = {"object": current, "object_history": former}
    rows["source"] = pa.concat_tables([sources(ids, epoch) for epoch, ids in enumerate(VISITS)])
    loaded = night.load(rows, night.schema(VERSIONED, PARTS))
    wrong = [query for query in QUERIES if night.ask(database, query) != night.ask(loaded, query)]
    assert wrong == []
    for table in ("object", "object_history", "source"):
        one, other = (night.ingest.table(name, table) for name in (database, loaded))
        assert (one.rows, one.statistics) == (other.rows, other.statistics)
    strayed = [row for row in current.to_pylist() if is_elsewhere(row)]
    assert len(strayed) > 20
    for row in strayed:
        near = f"SELECT id FROM {{db}}.object WHERE CONTAINS(POINT(ra, dec), CIRCLE({row['ra']!r}, {row['dec']!r}, 1e-4)) = 1"  # noqa: S608 (numbers)
        assert repr({"id": row["id"]}) in night.ask(database, near)
    merged(night, database)
    wrong = [query for query in QUERIES if night.ask(database, query) != night.ask(loaded, query)]
    assert wrong == []


def test_versions_that_make_no_sense_are_refused(night):
    database = appended(night, VISITS[:2])
    name = f"{database}-bad"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    with pytest.raises(QservError, match="table object_history takes no rows"):
        night.send(name, "h", "object_history", objects([1], 3))
    nowhere = objects([1], 3).set_column(1, "ra", pa.nulls(1, pa.float64())).set_column(2, "dec", pa.nulls(1, pa.float64()))
    path = night.files({"object": nowhere})["object"]
    night.ingest.send(name, "nowhere", ContributionRequest(table="object", source=str(path)))
    found = night.ingest.contribution(name, "nowhere", 60)
    assert found.state is ContributionState.FAILED
    assert "the row has no position, and those before it in table object have one" in found.files[0].error.message
    night.ingest.cancel_contribution(name, "nowhere")
    night.send(name, "early", "object", objects([2, 4], 1))
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert found.state is TransactionState.OPEN
    assert f"the row of id {2**53 + 2} does not begin (begins) after the one that is there" in found.error.message
    night.ingest.cancel(name)
    night.ingest.finished(name)
    assert night.ask(database, QUERIES[2]) == night.ask(appended(night, VISITS[:2]), QUERIES[2])


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_any_point_of_new_versions(point, night):
    database = appended(night, VISITS[:2])
    night.running.arm(point)
    found = append(night, database, 2, {"object": objects(VISITS[2], 2), "source": sources(VISITS[2], 2)})
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert night.running.went_off(point)
    for query, rows in zip(QUERIES[:2], expected(VISITS[:3]), strict=True):
        assert night.ask(database, query) == sorted(map(repr, rows.to_pylist()))
    night.has_nothing_else(database)


RESTORED = [point for point in failpoints() if point.startswith((RESTORING, "ingest.withdraw.publish"))]


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", RESTORED)
def test_a_process_killed_while_versions_are_withdrawn(point, night):
    database = appended(night, VISITS[:3])
    night.running.arm(point)
    insist(lambda: night.ingest.withdraw(f"no-{database}", f"{database}-2"))
    found = until(lambda: one if (one := insist(lambda: night.ingest.load(f"no-{database}", 5))).settled else None)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    assert night.running.went_off(point)
    for query, rows in zip(QUERIES[:2], expected(VISITS[:2]), strict=True):
        assert night.ask(database, query) == sorted(map(repr, rows.to_pylist()))
    night.has_nothing_else(database)


def test_withdrawn_versions_are_as_if_they_had_never_been(night):
    database = appended(night, VISITS[:3])
    before = appended(night, VISITS[:2])
    night.ingest.withdraw(f"{database}-no", f"{database}-1")
    found = night.ingest.finished(f"{database}-no", 60)
    assert found.error.message.endswith("were followed by those of other transactions; withdraw these first")
    night.ingest.withdraw(f"{database}-yes", f"{database}-2")
    found = night.ingest.finished(f"{database}-yes", 60)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    wrong = [query for query in QUERIES if night.ask(database, query) != night.ask(before, query)]
    assert wrong == []
    for table in ("object", "object_history", "source"):
        one, other = (night.ingest.table(name, table) for name in (database, before))
        assert (one.rows, one.overlap_rows, one.statistics) == (other.rows, other.overlap_rows, other.statistics)
    ids = VISITS[2]
    night.append(database, {"object": objects(ids, 2), "source": sources(ids, 2)})
    for query, rows in zip(QUERIES[:2], expected(VISITS[:3]), strict=True):
        assert night.ask(database, query) == sorted(map(repr, rows.to_pylist()))


def test_a_history_stays_with_its_table(night):
    database = appended(night, [range(4)])
    with pytest.raises(QservError, match="it has the former versions of object; delete both"):
        night.ingest.drop(database, "object_history")

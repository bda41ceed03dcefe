"""Columns are added to published tables while queries, appends and merges go on."""

import time
import uuid
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from ingest.formats.source import ReadOptions
from ingest.service.models import ColumnRequest, ContributionRequest, LoadRequest, TransactionRequest
from qserv.errors import LoadNameError, SchemaError, UnknownNameError
from qserv.metadata.transactions import TransactionState
from schema.model import ColumnType
from tests.ingest.appending.adding import ADDED, added, long_scan, on_nodes
from tests.ingest.appending.conftest import FELIS, SOURCES, TABLES, rows_of, visit
from tests.ingest.appending.hammer import Hammer
from tests.ingest.appending.test_append import QUERIES, joined
from tests.ingest.appending.test_moves import NARROW, far
from tests.ingest.appending.test_versions import PARTS, VERSIONED, objects, sources
from tests.ingest.service.test_killed_service import insist
from tests.support.waiting import until

WIDE = FELIS.replace(
    "- name: source\n",
    """  - {{name: flag, "@id": "#object.flag", datatype: int}}
  - {{name: note, "@id": "#object.note", datatype: string, length: 30}}
- name: source
""",
).replace("- name: pair\n", '  - {{name: weight, "@id": "#source.weight", datatype: float, "ivoa:unit": s}}\n- name: pair\n')
"""The schema as it is with the columns that are added."""

OF_COLUMNS = (
    "SELECT flag, COUNT(*), COUNT(note), MIN(note) FROM {db}.object GROUP BY flag",
    "SELECT id FROM {db}.object WHERE flag = 7 AND note IS NULL",
    "SELECT id, note FROM {db}.object WHERE flag > 7 OR note IS NOT NULL",
    "SELECT COUNT(*) FROM {db}.object WHERE flag < 7",
    "SELECT SUM(weight), MIN(weight), MAX(weight) FROM {db}.source",
    "SELECT o.id, s.weight FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id WHERE s.weight <> 0.5 AND o.flag = 7",
    "SELECT a.id, b.flag, b.note FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.05 AND a.id < b.id",
    "SELECT o.flag, s.weight FROM {db}.object o, {db}.source s WHERE DISTANCE(o.ra, o.dec, s.ra, s.dec) < 0.02 AND id <> object_id",
)


def with_values(rows, flag=7, note=None, weight=0.1):
    """Return rows with values in the columns that are added."""
    count = rows["object"].num_rows
    wide = rows["object"].append_column("flag", pa.array([flag] * count, pa.int32()))
    weights = pa.array(np.full(rows["source"].num_rows, weight, np.float32))
    notes = pa.array([note] * count, pa.string())
    return rows | {"object": wide.append_column("note", notes), "source": rows["source"].append_column("weight", weights)}


def add_all(night, database):
    for table, requests in ADDED.items():
        for request in requests:
            found = added(night, database, table, request)
            assert (found.kind, found.state, found.error) == ("column", TransactionState.COMMITTED, None)


def test_columns_are_as_if_they_had_been_loaded(night):
    """Appended to before and after, with values in files or without, merged in between: as other tables with the same values."""
    parts = [rows_of(1), rows_of(2, 400), rows_of(3, 800, 100), rows_of(4, 1100, 50)]
    database = night.load(parts[0])
    night.append(database, parts[1])
    add_all(night, database)
    described = night.ask(
        database, "SELECT column_name, datatype, unit, ucd, description FROM tap_schema.columns WHERE table_name LIKE '{db}.%'"
    )
    assert repr({"column_name": "flag", "datatype": "int", "unit": None, "ucd": None, "description": "Which."}) in described
    assert repr({"column_name": "weight", "datatype": "float", "unit": "s", "ucd": "stat.weight", "description": None}) in described
    night.append(database, parts[2])
    last = with_values(parts[3], 9, "new", 0.5)
    night.append(database, last)
    whole = joined(*map(with_values, parts[:3]), last)
    loaded = night.load(whole, night.schema(WIDE))
    for _ in range(2):
        wrong = [query for query in (*QUERIES, *OF_COLUMNS) if night.ask(database, query) != night.ask(loaded, query)]
        assert wrong == []
        for table in TABLES:
            one, other = (night.ingest.table(name, table).statistics for name in (database, loaded))
            facts = [[(each.name, each.minimum, each.maximum, each.nulls) for each in found] for found in (one, other)]
            assert facts[0] == facts[1]
        time.sleep(3)  # for merges
    columns = {each.name: each for each in night.ingest.table(database, "object").statistics}
    assert [(columns[name].optional, columns[name].default) for name in ("mag", "flag", "note")] == [
        (False, None),
        (True, "7"),
        (True, None),
    ]


def test_queries_see_the_columns_of_before_or_of_after(night):
    database = night.load(rows_of(1))
    night.append(database, rows_of(2, 400))
    with Hammer(night, database, "flag", 7) as hammer:
        until(lambda: hammer.answers > 10)
        with long_scan(night, database):
            night.ingest.add_column(f"{database}-flag", database, "object", ADDED["object"][0])
            before = hammer.answered.copy()
            until(lambda: all(hammer.answered[query] > before[query] + 10 for query in before))
            assert hammer.wide == 0
            assert night.ingest.load(f"{database}-flag").state is TransactionState.OPEN
        assert night.ingest.finished(f"{database}-flag", 60).state is TransactionState.COMMITTED
        until(lambda: hammer.wide > 20)
    assert hammer.wrong == hammer.lost == []
    assert set(on_nodes(night, database, "flag").values()) == {"integer"}


def test_a_column_is_added_when_transactions_that_are_open_have_ended(night):
    """Their rows, sorted before there was the column, have its value."""
    database = night.load(visit(0))
    name = f"{database}-open"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table, rows in visit(1).items():
        night.send(name, "v", table, rows)
    night.ingest.add_column(f"{database}-flag", database, "object", ADDED["object"][0])
    later = f"{database}-later"
    night.ingest.begin(later, TransactionRequest(append_to=database))
    night.running.signal_service()
    insist(lambda: night.ingest.commit(name))
    for each in (name, f"{database}-flag"):
        assert until(lambda each=each: insist(lambda: night.ingest.load(each, 5)).ended)
    night.send(later, "v", "object", visit(2)["object"].append_column("flag", pa.array(range(40), pa.int32())))
    night.committed(later)
    found = night.ask(database, "SELECT flag FROM {db}.object WHERE flag IS NOT NULL")
    assert sorted(found) == sorted(repr({"flag": value}) for value in (*[7] * 80, *range(40)))


def test_rows_that_were_taken_without_a_column_are_not_counted_with_it(night):
    """As where the metadata database lost that the family is held, and another service added one."""
    database = night.load(visit(0))
    name = f"{database}-late"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.send(name, "v", "filter", visit(1)["filter"])
    with night.running.metadata() as session:
        sql = "INSERT INTO columns SELECT table_id, 'flag', 9, %s FROM tables WHERE database = %s AND name = 'filter'"
        session.execute(sql, ['{"name": "flag", "datatype": "int"}', database])
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert (found.state, found.error.code) == (TransactionState.OPEN, "ingest")
    assert "table filter has other columns than before" in found.error.message
    night.ingest.cancel(name)
    assert night.ingest.finished(name).state is TransactionState.ABORTED
    night.ingest.drop(database)


def test_what_is_left_of_a_column_disturbs_no_other_one(night):
    """An addition is cancelled half-way: nothing stays of it, and it can be asked for again."""
    database = night.load(rows_of(1))
    request = ColumnRequest(column="flag", datatype=ColumnType.STRING, length=5, nullable=False, default="yes")
    with long_scan(night, database) as held:
        night.ingest.add_column(f"{database}-1", database, "object", request)
        until(lambda: list(on_nodes(night, database, "flag").values()).count(None) == 1)
        night.ingest.cancel(f"{database}-1")
        assert night.ingest.finished(f"{database}-1", 60).state is TransactionState.ABORTED
        night.append(database, rows_of(2, 400))
        assert on_nodes(night, database, "flag")[held, 0] is None
    assert "flag" not in night.czar.query(f"SELECT * FROM {database}.object").column_names  # noqa: S608 (a name of ours)
    until(lambda: set(on_nodes(night, database, "flag").values()) == {None})
    assert added(night, database, "object", request, f"{database}-2").state is TransactionState.COMMITTED
    assert night.ask(database, "SELECT DISTINCT flag FROM {db}.object") == [repr({"flag": "yes"})]


def test_another_type_follows_at_once(night):
    database = night.load(rows_of(1))
    with long_scan(night, database):
        night.ingest.add_column(f"{database}-1", database, "object", ADDED["object"][0])
        until(lambda: list(on_nodes(night, database, "flag").values()).count(None) == 1)
        other = ColumnRequest(column="flag", datatype=ColumnType.DOUBLE, default="0.1")
        night.ingest.add_column(f"{database}-2", database, "object", other)
        night.ingest.cancel(f"{database}-1")
    assert night.ingest.finished(f"{database}-2", 60).state is TransactionState.COMMITTED
    assert set(on_nodes(night, database, "flag").values()) == {"double precision"}
    assert night.ask(database, "SELECT DISTINCT flag FROM {db}.object") == [repr({"flag": 0.1})]


def test_a_constant_is_a_value_of_its_type(night):
    """Whatever is in it; and it leaves chunks out."""
    database = night.load({"filter": pa.table({"band": pa.array([1, 2], pa.int16()), "letter": ["a", "b"]})})
    hostile = 'x\'); DROP TABLE "a" -- \\ {t0} %s'
    constants = {
        ("boolean", None): (True, True),
        ("short", None): (-3, -3),
        ("long", None): (2**53 + 1, 2**53 + 1),
        ("float", None): ("0.1", float(np.float32("0.1"))),
        ("double", None): (1e-300, 1e-300),
        ("char", 1): ("z", "z"),
        ("string", 40): (hostile, hostile),
        ("unicode", 5): ("αβ", "αβ"),
        ("text", None): ("long " * 50, "long " * 50),
        ("binary", 4): ("\\x00ff", b"\x00\xff"),
        ("timestamp", None): ("2026-01-02T03:04:05.5", datetime(2026, 1, 2, 3, 4, 5, 500_000)),  # noqa: DTZ001 (without zone)
    }
    for (datatype, length), (default, _) in constants.items():
        request = ColumnRequest(column=f"a_{datatype}", datatype=datatype, length=length, default=default)
        found = added(night, database, "filter", request)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    expected = {f"a_{datatype}": value for (datatype, _), (_, value) in constants.items()}
    night.append(database, {"filter": pa.table({"band": pa.array([3], pa.int16()), "letter": ["c"]})})
    rows = night.czar.query(f"SELECT * FROM {database}.filter").to_pylist()  # noqa: S608 (a name of ours)
    assert [{name: row[name] for name in expected} for row in rows] == [expected] * 3
    told = {each.name: (each.minimum, each.maximum, each.nulls) for each in night.ingest.table(database, "filter").statistics}
    assert told["a_long"] == (str(2**53 + 1), str(2**53 + 1), 0)
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.filter WHERE a_string <> 'x'") == [repr({"n": 3})]


def test_what_cannot_be_added_is_said_at_once(night):
    database = night.load({"object": rows_of(1)["object"]})
    refused = [
        ({"column": "mag"}, "has a column 'mag' already"),
        ({"column": "MAG"}, "column mag occurs 2 times"),
        ({"column": "_friends"}, "the name is taken"),
        ({"column": "a b"}, "a column name holds ASCII letters"),
        ({"default": "1.5"}, "cannot have the default '1.5': it is not exactly a value of type int"),
        ({"default": 2**31}, "it is not exactly a value of type int"),
        ({"datatype": "string"}, "Length must be provided for type 'string'"),
        ({"datatype": "string", "length": 2, "default": "abc"}, "longer than the 2 characters"),
        ({"datatype": "float", "default": "nan"}, "it is stored as NULL"),
        ({"datatype": "binary", "length": 2, "default": "00ff"}, "bytes are written as"),
        ({"datatype": "timestamp", "default": "today"}, "it is not exactly a value of type timestamp"),
        ({"nullable": False}, "is not nullable: give it a default"),
        ({"unit": "parsnip"}, "parsnip"),
        ({"ucd": "no.such.ucd"}, "ucd"),
    ]
    for asked, why in refused:
        request = ColumnRequest(**{"column": "x", "datatype": "int", **asked})
        with pytest.raises(SchemaError) as found:
            night.ingest.add_column(f"{database}-no", database, "object", request)
        assert why in str(found.value), asked
    with pytest.raises(UnknownNameError):
        night.ingest.add_column(f"{database}-no", database, "objects", ColumnRequest(column="x", datatype="int"))
    with pytest.raises(LoadNameError):
        night.ingest.add_column(f"{database}-load", database, "object", ColumnRequest(column="x", datatype="int"))
    assert f"{database}-no" not in {load.name for load in night.ingest.loads()}


def test_files_have_an_added_column_or_do_not(night):
    """Without it they have its default; NULL is refused where it must not be; and one that is misspelt is told of otherwise."""
    database = night.load(visit(0))
    request = ColumnRequest(column="flag", datatype=ColumnType.INT, default=7, nullable=False)
    added(night, database, "object", request)
    rows = visit(1)["object"]
    assert fails(night, database, rows.append_column("flag", pa.nulls(40, pa.int32()))).endswith(
        "column 'flag', value NULL: it is NULL, and the column is not nullable; correct or remove the row"
    )
    assert "column 'mag' is missing" in fails(night, database, rows.drop_columns(["mag"]))
    text = "".join(f"{100 + number},1.5,{number},20.0,n\n" for number in range(3))
    path = night.directory / "plain.csv"
    path.write_text(text)
    name = f"{database}-csv"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    request = ContributionRequest(table="object", source=str(path), reading=ReadOptions(header=False))
    night.ingest.send(name, "plain", request)
    assert night.ingest.contribution(name, "plain", 60).rows == 3
    night.ingest.stream(name, "stream", "object", visit(2)["object"].to_reader())
    night.committed(name)
    assert night.ask(database, "SELECT COUNT(*) AS n, SUM(flag) AS s FROM {db}.object") == [repr({"n": 83, "s": 7 * 83})]


def fails(night, database, rows):
    """Send rows of objects that are not taken; return why."""
    name = f"{database}-{uuid.uuid4().hex[:6]}"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.ingest.send(name, "bad", ContributionRequest(table="object", source=str(night.files({"object": rows})["object"])))
    found = night.ingest.contribution(name, "bad", 60)
    night.ingest.cancel(name)
    night.ingest.finished(name)
    return found.files[0].error.message


def test_former_versions_of_rows_have_the_column_too(night):
    """They come and go with it: when rows are followed, and when those that follow them are withdrawn."""
    ids = np.arange(30)
    database = night.load({"object": objects(ids, 0)}, night.schema(VERSIONED, PARTS))
    night.append(database, {"object": objects(ids[:20], 1)})
    assert added(night, database, "object", ADDED["object"][0]).state is TransactionState.COMMITTED
    with pytest.raises(SchemaError, match="table object_history has the columns of object: add the column there"):
        night.ingest.add_column(f"{database}-no", database, "object_history", ADDED["object"][1])
    visit = objects(ids[10:], 2)
    name = f"{database}-2"
    night.append(database, {"object": visit.append_column("flag", pa.array(range(20), pa.int32()))}, name)
    flags = "SELECT flag, COUNT(*) AS n FROM {db}.%s GROUP BY flag"
    assert night.ask(database, flags % "object_history") == [repr({"flag": 7, "n": 40})]
    assert len(night.ask(database, "SELECT id FROM {db}.object WHERE flag <> 7")) == 19
    night.ingest.withdraw(f"{database}-gone", name)
    assert night.ingest.finished(f"{database}-gone", 60).error is None
    assert night.ask(database, flags % "object_history") == [repr({"flag": 7, "n": 20})]
    assert night.ask(database, flags % "object") == [repr({"flag": 7, "n": 30})]


def test_rows_that_move_to_other_chunks_have_the_column_too(night):
    ids = range(60)
    database = night.load({"object": objects(ids, 0), "source": sources(ids, 0)}, night.schema(VERSIONED, NARROW))
    for table in ("object", "source"):
        assert added(night, database, table, ADDED[table][0]).state is TransactionState.COMMITTED
    name = f"{database}-far"
    moving = far(ids[::3], 1)
    values = pa.array(range(20), pa.int32())
    night.append(database, {"object": moving.append_column("flag", values)}, name)
    with night.running.metadata() as session:
        assert session.execute("SELECT count(*) > 0 FROM moved_keys WHERE database = %s", [database]).fetchone() == (True,)
    flags = "SELECT SUM(flag) AS s, COUNT(*) AS n FROM {db}.%s"
    assert night.ask(database, flags % "object") == [repr({"s": 7 * 40 + sum(range(20)), "n": 60})]
    assert night.ask(database, flags % "object_history") == [repr({"s": 7 * 20, "n": 20})]
    joined_rows = "SELECT DISTINCT s.weight FROM {db}.object o JOIN {db}.source s ON object_id = o.id WHERE o.flag <> 7"
    assert night.ask(database, joined_rows) == [repr({"weight": float(np.float32(0.1))})]


def test_what_is_loaded_anew_has_the_columns_of_its_schema(night):
    """A dependent beside a director with a column more; then the director, too. Both on two nodes."""
    database = night.load(visit(0), tables=tuple(visit(0)), replicas=2)
    add_all(night, database)
    joined_rows = "SELECT o.*, s.* FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id"
    for tables, number, columns in ((["source"], 0, {"flag", "note"}), (list(visit(0)), 1, set())):
        files = {table: (str(night.files(visit(number))[table]),) for table in tables}
        schema = str(night.directory / f"{database}.yaml")
        name = f"{database}-{len(tables)}"
        night.ingest.submit(name, LoadRequest(schema_file=schema, files=files, replicas=2, replace=True))
        assert night.ingest.finished(name, 60).error is None
        rows = night.czar.query(joined_rows.format(db=database))
        assert (rows.num_rows, set(rows.column_names) & {"flag", "note", "weight"}) == (SOURCES, columns)
        added(night, database, "source", ADDED["source"][0], f"{name}-weight")
        assert night.ask(database, "SELECT DISTINCT weight FROM {db}.source") == [repr({"weight": float(np.float32(0.1))})]


def test_the_same_again_does_nothing(night):
    database = night.load(visit(0))
    first = added(night, database, "object", ADDED["object"][0])
    assert added(night, database, "object", ADDED["object"][0]) == first
    again = added(night, database, "object", ADDED["object"][0], f"{database}-again")
    assert (again.state, again.error) == (TransactionState.COMMITTED, None)
    with pytest.raises(LoadNameError):
        night.ingest.add_column(first.name, database, "object", ADDED["object"][1])

"""Rows that are appended are found as if they had been loaded with the others."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import QservError
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import TABLES, rows_of

FAILED = ContributionState.FAILED

QUERIES = (
    "SELECT * FROM {db}.object",
    "SELECT * FROM {db}.source",
    "SELECT * FROM {db}.pair",
    "SELECT * FROM {db}.filter",
    "SELECT COUNT(*) FROM {db}.source",
    "SELECT COUNT(*), COUNT(mag), MIN(mag), MAX(mag), MIN(name), MAX(id) FROM {db}.object",
    "SELECT band, COUNT(*), MIN(taken), MAX(flux) FROM {db}.source GROUP BY band",
    "SELECT id, name FROM {db}.object WHERE id IN (9007199254740993, 9007199254741403, 9007199254741800)",
    "SELECT * FROM {db}.source WHERE object_id = 9007199254741405",
    "SELECT id FROM {db}.object WHERE CONTAINS(POINT(ra, dec), CIRCLE(0.3, 0.2, 1.2)) = 1",
    "SELECT source_id FROM {db}.source WHERE CONTAINS(POINT(ra, dec), CIRCLE(0, 0, 1)) = 1",
    "SELECT source_id FROM {db}.source WHERE dec > 80 OR ra IS NULL",
    "SELECT id FROM {db}.object WHERE mag > 24.5",
    "SELECT id FROM {db}.object WHERE ra IS NULL",
    "SELECT id FROM {db}.object ORDER BY mag DESC NULLS LAST, id LIMIT 20",
    "SELECT o.id, s.source_id FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id WHERE o.mag < 16",
    "SELECT o.id, COUNT(s.source_id) FROM {db}.object o LEFT JOIN {db}.source s ON s.object_id = o.id GROUP BY o.id",
    "SELECT a.id, b.id AS other FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.05 AND a.id <> b.id",
    "SELECT COUNT(*) FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.0001 AND a.id < b.id",
    "SELECT COUNT(*) FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.8 AND a.id < b.id",
    "SELECT o.id, source_id FROM {db}.object o, {db}.source s WHERE DISTANCE(o.ra, o.dec, s.ra, s.dec) < 0.02 AND id <> object_id",
    "SELECT one, other, a.mag, b.mag AS mag2 FROM {db}.pair JOIN {db}.object a ON a.id = one JOIN {db}.object b ON b.id = other",
    "SELECT f.letter, COUNT(*) FROM {db}.source s JOIN {db}.filter f ON f.band = s.band GROUP BY f.letter",
    "SELECT id FROM {db}.object o WHERE NOT EXISTS (SELECT 1 FROM {db}.source s WHERE s.object_id = o.id)",
    "SELECT o.id, RANK() OVER (ORDER BY mag, id) AS r FROM {db}.object o WHERE mag IS NOT NULL",
)


def joined(*parts):
    return {table: pa.concat_tables([part[table] for part in parts if table in part]) for table in TABLES}


def test_rows_are_as_if_they_had_been_loaded_together(night):
    parts = [rows_of(1), rows_of(2, 400), rows_of(3, 800, 100), rows_of(4, 1100, 7)]
    appended = night.load(parts[0])
    for part in parts[1:]:
        night.append(appended, part)
    loaded = night.load(joined(*parts))
    wrong = [query for query in QUERIES if night.ask(appended, query) != night.ask(loaded, query)]
    assert wrong == []
    assert len(night.ask(appended, QUERIES[0])) == 707
    for table in TABLES:
        one, other = (night.ingest.table(database, table) for database in (appended, loaded))
        assert (one.rows, one.overlap_rows, one.chunks) == (other.rows, other.overlap_rows, other.chunks)
        assert one.statistics == other.statistics


def test_a_key_that_is_there_already_is_refused(night):
    """Of a director by the contribution that brings it, of another table by the commit."""
    first = rows_of(1)
    database = night.load(first)
    name = f"{database}-twice"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    path = night.directory / "twice.parquet"
    pq.write_table(first["object"].slice(7, 1), path)
    night.ingest.send(name, "o", ContributionRequest(table="object", source=str(path)))
    found = night.ingest.contribution(name, "o", 60)
    assert (found.state, found.files[0].error.message.startswith(f"director table {database}.object: Key (key)=(")) == (
        FAILED,
        True,
    )
    night.ingest.cancel_contribution(name, "o")
    night.send(name, "s", "source", first["source"].slice(7, 1))
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    assert (found.state, found.error.code) == (TransactionState.OPEN, "ingest")
    assert found.error.message == f"table {database}.source: Key (source_id)=(7) is there already; one row has a key"
    night.ingest.cancel(name)
    assert night.ingest.finished(name).state is TransactionState.ABORTED
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.source") == [repr({"n": len(first["source"])})]
    assert night.running.segments(database) == set()


def test_an_aborted_transaction_leaves_nothing_and_its_keys_can_come_again(night):
    database = night.load(rows_of(1))
    more = rows_of(2, 400, 50)
    name = f"{database}-no"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table in TABLES:
        night.send(name, "v", table, more[table])
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.object") == [repr({"n": 300})]
    night.ingest.cancel(name)
    assert night.ingest.finished(name).state is TransactionState.ABORTED
    lost = "table object has no row of this key"
    night.ingest.begin(f"{name}2", TransactionRequest(append_to=database))
    path = night.directory / "lone.parquet"
    pq.write_table(more["source"], path)
    night.ingest.send(f"{name}2", "s", ContributionRequest(table="source", source=str(path)))
    assert lost in night.ingest.contribution(f"{name}2", "s", 60).files[0].error.message
    night.ingest.cancel(f"{name}2")
    night.ingest.finished(f"{name}2")
    night.append(database, more)
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.object") == [repr({"n": 350})]


@pytest.mark.parametrize("request_", [{"replace": True}, {"chunk_order": 3}, {"schema_file": "x.yaml"}, {"tables": ("nothing",)}])
def test_what_makes_no_sense_beside_rows_that_are_there(night, request_):
    with pytest.raises(QservError if "tables" in request_ else ValueError):
        night.ingest.begin("never", TransactionRequest(append_to=night.load({"filter": rows_of(1)["filter"]}), **request_))
    with pytest.raises(QservError, match="there is no published database nowhere"):
        night.ingest.begin("never", TransactionRequest(append_to="nowhere"))

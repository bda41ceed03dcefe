"""Transactions of the unlucky: files that vanish, empty ones, names that are none, many of all at once."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.service.models import ContributionRequest
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.service.test_transactions import DONE, FAILED, answered, began, committed, objects, sent, sources
from tests.support.waiting import until

CANCELLED = ContributionState.CANCELLED

MANY = 300_000
"""Rows that are read in several batches."""


def send(ingest, sky, name, table, path):
    ingest.send(sky.name, name, ContributionRequest(table=table, source=str(path)))


def large(path, wrong=None):
    """Write many sources of object 1, the last one of an object that may not be there."""
    ids = np.arange(MANY) + 10**7
    keys = np.ones(MANY, dtype=np.int64)
    keys[-1] = wrong or 1
    pq.write_table(pa.table({"source_id": ids, "object_id": keys}), path, row_group_size=20_000)
    return path


def test_rows_of_a_file_that_fails_late_do_not_count_with_an_empty_one(ingest, ingest_cluster, sky):
    began(ingest, sky)
    assert sent(ingest, sky, "o", "object", objects(sky.directory, "o", range(100))).state is DONE
    ingest_cluster.hold()
    send(ingest, sky, "first", "source", sources(sky.directory, "h", [1]))
    ingest_cluster.held()
    send(ingest, sky, "empty", "source", sources(sky.directory, "e", []))
    send(ingest, sky, "wrong", "source", large(sky.directory / "wrong.parquet", wrong=10**9))
    ingest_cluster.release()
    states = {name: ingest.contribution(sky.name, name, 60).state for name in ("first", "empty", "wrong")}
    assert states == {"first": DONE, "empty": DONE, "wrong": FAILED}
    ingest.cancel_contribution(sky.name, "wrong")
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "source") == 1


def test_a_file_that_vanishes_while_it_is_read_fails_alone(ingest, ingest_cluster, sky):
    began(ingest, sky)
    assert sent(ingest, sky, "good", "object", objects(sky.directory, "g", range(50))).state is DONE
    path = large(sky.directory / "goner.parquet")
    ingest_cluster.hold()
    send(ingest, sky, "first", "source", sources(sky.directory, "h", [1]))
    ingest_cluster.held()
    send(ingest, sky, "goner", "source", path)
    path.unlink()
    ingest_cluster.release()
    assert ingest.contribution(sky.name, "goner", 60).files[0].error.code == "ingest.bad_file"
    ingest.cancel_contribution(sky.name, "goner")
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (50, 1)


def test_an_upload_that_failed_is_sent_again_under_another_name_of_its_file(ingest, ingest_cluster, sky):
    began(ingest, sky)
    path = sources(sky.directory, "s", [5])
    ingest.upload(sky.name, "u", "source", path)
    assert ingest.contribution(sky.name, "u", 60).state is FAILED
    assert sent(ingest, sky, "o", "object", objects(sky.directory, "o", range(10))).state is DONE
    (sky.directory / "other.parquet").write_bytes(path.read_bytes())
    ingest.upload(sky.name, "u", "source", sky.directory / "other.parquet")
    assert ingest.contribution(sky.name, "u", 60).rows == 1
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "source") == 1


@pytest.mark.parametrize("name", ["../../x.csv", "a\0.csv", "\ud7ff.csv", "a." + "x" * 300, ".csv"])
def test_whatever_an_uploaded_file_is_called(ingest, ingest_cluster, sky, name):
    began(ingest, sky)
    longest = "u" * 128
    call = {"table": "object", "file_name": name, "reading": '{"format": "csv"}'}
    url = f"/transactions/{sky.name}/contributions/{longest}/rows"
    assert ingest._http.put(url, params=call, content=b"id,ra,dec\n1,1,1\n").status_code == 202  # noqa: SLF001 (any name of a file)
    assert ingest.contribution(sky.name, longest, 60).rows == 1
    assert not list(ingest_cluster.cluster.home.rglob("x.csv"))
    ingest.cancel(sky.name)
    ingest.finished(sky.name)


def test_a_service_starts_beside_a_transaction_of_any_name(ingest, ingest_cluster, sky):
    name = f"{sky.name}.new"
    began(ingest, sky, name)
    ingest.upload(name, "u", "object", objects(sky.directory, "o", range(10)))
    assert ingest.contribution(name, "u", 60).state is DONE
    ingest_cluster.signal_service()
    assert until(lambda: answered(lambda: ingest.load(name))).state is TransactionState.OPEN
    ingest.cancel(name)
    ingest.finished(name)


def test_many_transactions_wait_for_each_other(ingest, sky):
    skies = [type(sky)(sky.directory) for _ in range(9)]
    for one in skies:
        began(ingest, one)
    until(lambda: sum(ingest.load(one.name).state is TransactionState.OPEN for one in skies) == 6)
    for one in skies:
        assert committed(ingest, one).state is TransactionState.COMMITTED


def test_a_file_that_the_service_dies_of_is_not_read_for_ever(ingest, ingest_cluster, sky):
    began(ingest, sky)
    ingest_cluster.hold()
    send(ingest, sky, "deadly", "object", objects(sky.directory, "o", range(10)))
    ingest_cluster.held()
    with ingest_cluster.metadata() as session:
        changed = session.execute("UPDATE contributions SET attempt = 10 WHERE name = 'deadly' AND state = 'reading'")
        assert changed.rowcount == 1
    ingest_cluster.signal_service()
    ingest_cluster.release()
    (file,) = until(lambda: answered(lambda: ingest.contribution(sky.name, "deadly", 60))).files
    assert file.error.message == "the service ended 10 times while it read this; see its log, then send it again"
    send(ingest, sky, "deadly", "object", sky.directory / "o.parquet")
    assert ingest.contribution(sky.name, "deadly", 60).rows == 10
    assert committed(ingest, sky).state is TransactionState.COMMITTED


def test_what_waits_when_a_transaction_is_aborted_waits_no_more(ingest, ingest_cluster, sky):
    began(ingest, sky)
    ingest_cluster.hold()
    send(ingest, sky, "read", "object", objects(sky.directory, "o", range(10)))
    ingest_cluster.held()
    send(ingest, sky, "queued", "object", sky.directory / "o.parquet")
    ingest.cancel(sky.name)
    ingest_cluster.release()
    assert ingest.finished(sky.name).state is TransactionState.ABORTED
    assert [one.state for one in ingest.contributions(sky.name)] == [CANCELLED, CANCELLED]

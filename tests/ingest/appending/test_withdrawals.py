"""A transaction that is withdrawn is as if it had never been: in all tables, copies and counts, at once."""

import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import QservError
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import TABLES, rows_of, visit
from tests.ingest.appending.reader import Reader
from tests.ingest.appending.test_append import QUERIES, joined
from tests.ingest.appending.test_merges import merged
from tests.ingest.appending.test_torn import append
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

OF_VERSIONS = "ingest.withdraw.restore"
"""What is done to new versions of rows alone."""

POINTS = [
    point
    for point in failpoints()
    if point.startswith(("ingest.withdraw.", "service.withdrawal.")) and not point.startswith(OF_VERSIONS)
]


def withdrawn(night, transaction):
    """Withdraw a transaction, and wait until it is."""
    night.ingest.withdraw(f"no-{transaction}", transaction)
    return night.ingest.finished(f"no-{transaction}", 120)


def refusal(night, transaction, name="no"):
    with pytest.raises(QservError) as caught:
        night.ingest.withdraw(f"{name}-{transaction}", transaction)
    return str(caught.value)


@pytest.mark.parametrize("of", [pytest.param("segments", marks=pytest.mark.nightly(share=0)), "merged segments"])
def test_what_stays_is_as_if_it_had_been_loaded_alone(of, night):
    parts = [rows_of(1), rows_of(2, 400, 100), rows_of(3, 800, 50)]
    database = night.load(parts[0])
    second = night.append(database, parts[1]).name
    night.append(database, parts[2])
    if of == "merged segments":
        merged(night, database)
    found = withdrawn(night, second)
    assert found.state is TransactionState.COMMITTED, found.error
    assert {table.table: table.rows for table in found.report.tables} == {table: len(parts[1][table]) for table in TABLES}
    loaded = night.load(joined(parts[0], parts[2]))
    wrong = [query for query in QUERIES if night.ask(database, query) != night.ask(loaded, query)]
    assert wrong == []
    for table in TABLES:
        one, other = (night.ingest.table(name, table) for name in (database, loaded))
        assert (one.rows, one.overlap_rows, one.statistics) == (other.rows, other.overlap_rows, other.statistics)
    assert night.ingest.load(second).withdrawn is not None
    assert "was withdrawn at" in refusal(night, second, "again")
    # Its keys are free: the rows can come again.
    night.append(database, parts[1])
    assert night.ask(database, QUERIES[4]) == [repr({"count": sum(len(part["source"]) for part in parts)})]
    merged(night, database)
    assert night.ask(database, QUERIES[0]) == night.ask(night.load(joined(*parts)), QUERIES[0])


def test_rows_that_others_refer_to_are_not_withdrawn(night):
    database = night.load(visit(0))
    first = visit(1)
    objects = night.append(database, {"object": first["object"]}, f"{database}-objects")
    night.append(database, {"source": first["source"]}, f"{database}-sources")
    found = withdrawn(night, objects.name)
    assert found.state is TransactionState.ABORTED
    assert found.error.message.startswith(
        "rows of table source that came with other transactions refer to rows of object that would go, such as object_id 90"
    )
    assert withdrawn(night, f"{database}-sources").state is TransactionState.COMMITTED
    again = night.ingest.withdraw(f"no-{objects.name}", objects.name)
    assert night.ingest.finished(again.name, 120).state is TransactionState.COMMITTED
    assert night.ask(database, "SELECT COUNT(*) AS n FROM {db}.object") == [repr({"n": len(visit(0)["object"])})]


def test_keys_go_though_a_contribution_was_cancelled_before(night):
    database = night.load(visit(0))
    name, path = f"{database}-1", night.directory / "none.parquet"
    path.write_text("no Parquet")
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.ingest.send(name, "bad", ContributionRequest(table="object", source=str(path)))
    night.ingest.contribution(name, "bad", 60)
    night.ingest.cancel_contribution(name, "bad")
    night.send(name, "good", "object", visit(1)["object"])
    night.committed(name)
    assert withdrawn(night, name).state is TransactionState.COMMITTED
    night.append(database, {"object": visit(1)["object"]})


def test_what_cannot_be_withdrawn(night):
    database = night.load(visit(0))
    assert refusal(night, "nobody") == "there is no transaction nobody; `qserv loads` lists them"
    assert "did not append rows to tables that are there" in refusal(night, f"{database}-load")
    name = f"{database}-open"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    assert "only one that is committed can be withdrawn" in refusal(night, name)
    night.ingest.cancel(name)
    night.ingest.finished(name)


def test_a_withdrawal_that_is_aborted_meanwhile_changes_nothing(night):
    database = night.load(visit(0))
    night.append(database, visit(1), f"{database}-bad")
    night.running.hold()
    name = f"no-{database}-bad"
    night.ingest.withdraw(name, f"{database}-bad")
    night.running.held()
    with night.running.metadata() as session:  # as another service does that takes over
        session.execute("UPDATE transactions SET state = 'aborted', ended = now() WHERE name = %s", [name])
    night.running.release()
    assert night.ingest.finished(name, 60).state is TransactionState.ABORTED
    night.is_exactly(database, [0, 1])
    assert night.ingest.load(f"{database}-bad").withdrawn is None


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_any_point_of_a_withdrawal(point, night):
    database = night.load(visit(0))
    with Reader(night.running.cluster.home, database) as reader:
        for number in (1, 2, 3):
            append(night, database, number)
        until(lambda: 4 in reader.visits)
        night.running.arm(point)
        insist(lambda: night.ingest.withdraw(f"no-{database}", f"{database}-2"))
        found = until(lambda: one if (one := insist(lambda: night.ingest.load(f"no-{database}", 5))).settled else None)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        assert night.running.went_off(point)
        append(night, database, 4)
        before = reader.answers
        until(lambda: reader.answers > before + 3)
    assert reader.torn == []
    night.is_exactly(database, [0, 1, 3, 4])

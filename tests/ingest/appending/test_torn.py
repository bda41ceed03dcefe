"""A visit is seen in all tables and chunks, or in none, whoever is killed, and however slow a node is."""

import signal

import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import QservError
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import HELD_BUILD, visit
from tests.ingest.appending.reader import Reader
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

STEPS = (
    "ingest.append.",
    "service.contribution.begin",
    "service.commit.ask",
    "worker.table.load",
    "worker.run.write",
    "ingest.run.take",
)
"""What is done, among others, to append a visit."""

OF_VERSIONS = ("ingest.append.rewrite", "ingest.append.end_versions")
"""What is done to new versions of rows alone."""

OF_MOVES = ("ingest.append.move", "ingest.append.leave")
"""What is done where objects move to other chunks."""

OF_REPLACED = ("ingest.append.replace", "ingest.append.hide", "ingest.append.former")
"""What is done where rows of dependents follow others."""

POINTS = [
    point
    for point in failpoints()
    if point.startswith(STEPS) and not point.startswith(OF_VERSIONS + OF_MOVES + OF_REPLACED) and point != HELD_BUILD
]

SOME = ("ingest.append.publish.after",)
"""Points at which `make test` kills; the nightly checks kill at all."""


def append(night, database, number, rows=None):
    """Append a visit, or other rows, however often that takes."""
    name, rows = f"{database}-{number}", rows or visit(number)
    insist(lambda: night.ingest.begin(name, TransactionRequest(append_to=database)))
    for table, path in night.files(rows).items():
        insist(lambda table=table, path=path: night.ingest.send(name, table, ContributionRequest(table=table, source=str(path))))
    for table in rows:
        found = until(lambda table=table: done(insist(lambda: night.ingest.contribution(name, table, 5))))
        assert found.state is ContributionState.DONE, found.files
    insist(lambda: night.ingest.commit(name))
    return until(lambda: found if (found := insist(lambda: night.ingest.load(name, 5))).settled else None)


def done(found):
    return found if found.state not in {ContributionState.QUEUED, ContributionState.READING} else None


def check(point, night):
    database = night.load(visit(0))
    with Reader(night.running.cluster.home, database) as reader:
        until(lambda: reader.answers > 2)
        assert append(night, database, 1).state is TransactionState.COMMITTED
        night.running.arm(point)
        if ".clear." in point:  # is done to what one that died has left
            night.running.arm("ingest.append.publish.before")
        found = append(night, database, 2)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        assert night.running.went_off(point)
        before = reader.answers
        until(lambda: reader.answers > before + 3)
    assert reader.torn == []
    assert reader.visits <= {1, 2, 3}
    night.is_exactly(database, [0, 1, 2])


@pytest.mark.parametrize("point", SOME)
def test_a_process_killed_at_some_point_of_an_append(point, night):
    check(point, night)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_any_point_of_an_append(point, night):
    check(point, night)


def test_a_slow_node_shows_nothing_that_another_one_has(night):
    database = night.load(visit(0))
    with Reader(night.running.cluster.home, database) as reader:
        night.running.hold()
        name = f"{database}-slow"
        night.ingest.begin(name, TransactionRequest(append_to=database))
        for table, rows in visit(1).items():
            night.send(name, "v", table, rows)
        night.ingest.commit(name)
        night.running.held()
        before = reader.answers
        until(lambda: reader.visits and reader.answers > before + 5)
        assert reader.visits == {1}
        night.running.release()
        assert night.ingest.finished(name, 60).state is TransactionState.COMMITTED
        until(lambda: 2 in reader.visits)
    assert reader.torn == []


@pytest.mark.nightly(share=0)
def test_what_a_killed_service_built_goes_when_its_transaction_is_cancelled(night):
    database = night.load(visit(0))
    name = f"{database}-gone"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table, rows in visit(1).items():
        night.send(name, "v", table, rows)
    night.running.hold()
    night.ingest.commit(name)
    night.running.held()
    night.running.signal_service(signal.SIGKILL)
    night.running.release()
    insist(lambda: night.ingest.cancel(name))
    assert until(lambda: insist(lambda: night.ingest.load(name, 5)).ended)
    state = insist(lambda: night.ingest.load(name)).state
    night.is_exactly(database, [0, 1] if state is TransactionState.COMMITTED else [0])


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("server", ["node-1", "metadata"])
def test_a_postgresql_killed_in_the_middle_of_an_append(server, night):
    database = night.load(visit(0))
    name = f"{database}-{server}"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table, rows in visit(1).items():
        night.send(name, "v", table, rows)
    night.running.hold()
    night.ingest.commit(name)
    night.running.held()
    night.running.kill_postgres(server)
    night.running.release()
    found = until(lambda: one if (one := persist(lambda: night.ingest.load(name, 5))).settled else None)
    if found.state is TransactionState.OPEN:  # it was tried for half a minute
        persist(lambda: night.ingest.commit(name))
        found = until(lambda: one if (one := persist(lambda: night.ingest.load(name, 5))).settled else None)
    assert (found.state, found.error) == (TransactionState.COMMITTED, None)
    persist(lambda: night.ask(database, "SELECT COUNT(*) AS n FROM {db}.source"))
    night.is_exactly(database, [0, 1])


def persist(ask):
    """Ask until the service, and what it needs, answers."""

    def answered():
        try:
            return ask() or True
        except QservError as error:
            if error.retryable:
                return None
            raise

    return until(answered)

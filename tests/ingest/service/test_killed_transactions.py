"""The ingest service, killed at any durable step of an open transaction: each contribution counts once, or not at all."""

from pathlib import Path

import pytest

from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import TransactionEndedError
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.service.test_killed_service import insist
from tests.support.steps import failpoints
from tests.support.waiting import until

OTHERS = ("service.load.", "service.indexing.", "service.columns.", "service.alias.", "service.tables.", "service.withdrawal.")
"""Steps that other files kill at."""

POINTS = [point for point in failpoints() if point.startswith("service.") and not point.startswith(OTHERS)]

SOME = ("service.contribution.begin.after", "service.commit.ask.after", "service.swap.begin.after")
"""Points at which `make test` kills, beside those of streams (`test_broken_streams`); the nightly checks kill at all."""

STEPS = {
    *("service.contribution.send", "service.contribution.begin", "service.contribution.give_back", "service.contribution.fail"),
    *("service.contribution.cancel", "service.upload.keep", "service.commit.ask", "service.commit.refuse", "service.swap.begin"),
    "service.index.make",
}

OBJECTS = 60


def send(ingest, sky, name, path):
    insist(lambda: ingest.send(sky.name, name, ContributionRequest(table="object", source=str(path))))


def ended(ingest, sky, name):
    """Return the state of a contribution that is done, failed or cancelled."""
    waits = {ContributionState.QUEUED, ContributionState.READING}
    return until(lambda: found if (found := insist(lambda: ingest.contribution(sky.name, name, 5)).state) not in waits else None)


def settled(ingest, sky):
    return until(lambda: found if (found := insist(lambda: ingest.load(sky.name, 5))).settled else None)


def commit(ingest, sky):
    """Commit; return the transaction, which has ended or is open with the reason."""
    insist(lambda: ingest.commit(sky.name))
    return settled(ingest, sky)


def kill_at(point, ingest, cluster, sky):
    """Let the service die at a point while it does what comes there; return how many objects there must be after a commit."""
    (path,) = sky.write(OBJECTS)["object"]
    wrong = sky.directory / "wrong.csv"
    wrong.write_text("id,ra,dec\n1000,10.5,95\n")
    step = point.rpartition(".")[0]
    if step == "service.swap.begin":
        ingest.submit(f"{sky.name}-1", sky.request(sky.write(20, "old")))
        assert ingest.finished(f"{sky.name}-1").state is TransactionState.COMMITTED
    if step in {"service.contribution.give_back", "service.index.make"}:
        cluster.arm(point)
    request = TransactionRequest(schema_file=str(sky.schema), chunk_order=1, replace=step == "service.swap.begin")
    insist(lambda: ingest.begin(sky.name, request))
    if step in {"service.contribution.send", "service.contribution.begin"}:
        cluster.arm(point)
    if step == "service.contribution.cancel":
        return cancelled(point, path, ingest, cluster, sky)
    if step == "service.upload.keep":
        cluster.arm(point)
        insist(lambda: ingest.upload(sky.name, "one", "object", Path(path)))
    else:
        send(ingest, sky, "one", path)
    assert ended(ingest, sky, "one") is ContributionState.DONE
    if step in {"service.contribution.fail", "service.commit.refuse"}:
        if step == "service.contribution.fail":
            cluster.arm(point)
        send(ingest, sky, "wrong", wrong)
        assert ended(ingest, sky, "wrong") is ContributionState.FAILED
        if step == "service.commit.refuse":
            cluster.arm(point)
        assert "contributions failed: wrong;" in commit(ingest, sky).error.message
        insist(lambda: ingest.cancel_contribution(sky.name, "wrong"))
    if step in {"service.commit.ask", "service.swap.begin"}:
        cluster.arm(point)
    return OBJECTS


def cancelled(point, path, ingest, cluster, sky):
    """Cancel a contribution that is being read; it may have been done meanwhile by the next service."""
    cluster.hold()
    send(ingest, sky, "one", path)
    cluster.held()
    cluster.arm(point)
    insist(lambda: ingest.cancel_contribution(sky.name, "one"))
    cluster.release()
    return OBJECTS if ended(ingest, sky, "one") is ContributionState.DONE else 0


def check(point, ingest, cluster, sky):
    count = kill_at(point, ingest, cluster, sky)
    load = commit(ingest, sky)
    if point == "service.swap.begin.after":
        # Nobody knows how far tables changed places: what was there stays, and the transaction can be begun again.
        assert load.state is TransactionState.ABORTED
        count = 20
        with pytest.raises(TransactionEndedError):
            ingest.commit(sky.name)
    else:
        assert (load.state, load.error) == (TransactionState.COMMITTED, None)
    assert cluster.rows(sky.name, "object") == count
    assert cluster.went_off(point)


@pytest.mark.parametrize("point", SOME)
def test_a_service_killed_at_some_point_of_a_transaction(point, ingest, ingest_cluster, sky):
    check(point, ingest, ingest_cluster, sky)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_service_killed_at_any_point_of_a_transaction(point, ingest, ingest_cluster, sky):
    check(point, ingest, ingest_cluster, sky)


def test_each_step_of_a_transaction_is_met():
    assert {point.rpartition(".")[0] for point in POINTS} == STEPS
    assert set(SOME) <= set(POINTS)

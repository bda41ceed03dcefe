"""The ingest service, killed before or behind any durable step of its own: a load is done, or not, and never twice."""

import signal

import pytest

from qserv.errors import IngestLostError
from qserv.metadata.transactions import TransactionState
from tests.support.steps import failpoints
from tests.support.waiting import until

POINTS = [point for point in failpoints() if point.startswith("service.load.")]

SOME = ("service.load.enqueue.after", "service.load.end.before", "service.load.recover.after")
"""Points at which `make test` kills; the nightly checks kill at all."""


def insist(ask):
    """Ask until the service answers."""

    def answered():
        try:
            return ask()
        except IngestLostError:
            return None

    return until(answered)


def finished(ingest, name):
    return until(lambda: found if (found := insist(lambda: ingest.load(name))).ended else None)


def kill_at(point, ingest, cluster, sky):
    """Let the service die at a point while it does what comes there; return the load, and how many objects there must be."""
    step = point.split(".")[2]
    files = sky.write(60)
    if step == "fail":
        (sky.directory / "bad.csv").write_text("id,ra,dec\n1,10.5,95\n")
        files = {"object": (str(sky.directory / "bad.csv"),)}
    if step in {"enqueue", "end", "fail"}:
        cluster.arm(point)
        insist(lambda: ingest.submit(sky.name, sky.request(files)))
        return finished(ingest, sky.name), 0 if step == "fail" else 60
    cluster.hold()
    ingest.submit(sky.name, sky.request(files))
    cluster.held()
    cluster.arm(point)
    match step:
        case "cancel":
            insist(lambda: ingest.cancel(sky.name))
            cluster.release()
        case "progress":
            until(lambda: cluster.went_off(point))
            cluster.release()
        case "recover":
            cluster.signal_service(signal.SIGKILL)
            cluster.release()
        case "requeue":
            cluster.release()
            cluster.signal_service(signal.SIGTERM)
    return finished(ingest, sky.name), 0 if step == "cancel" else 60


def check(point, ingest, cluster, sky):
    load, count = kill_at(point, ingest, cluster, sky)
    if point == "service.load.cancel.before" and load.state is TransactionState.COMMITTED:
        count = 60  # it began anew, and was done before it was asked again to cancel it
    assert load.state is (TransactionState.COMMITTED if count else TransactionState.ABORTED)
    assert cluster.rows(sky.name, "object") == count
    assert (sky.name in {database.name for database in ingest.databases()}) is bool(count)
    assert [each.name for each in ingest.loads()].count(sky.name) == 1
    assert cluster.went_off(point)


@pytest.mark.parametrize("point", SOME)
def test_a_service_killed_at_some_point(point, ingest, ingest_cluster, sky):
    check(point, ingest, ingest_cluster, sky)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_service_killed_at_any_point(point, ingest, ingest_cluster, sky):
    check(point, ingest, ingest_cluster, sky)


def test_each_step_of_the_service_is_met():
    assert {point.split(".")[2] for point in POINTS} == {"cancel", "end", "enqueue", "fail", "progress", "recover", "requeue"}
    assert set(SOME) <= set(POINTS)

"""Whoever adds a column is killed, and whatever it needs: it is added, everywhere and with its value, and queries go on."""

import pytest

from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.adding import ADDED, added, long_scan, on_nodes
from tests.ingest.appending.conftest import rows_of
from tests.ingest.appending.hammer import Hammer
from tests.ingest.appending.test_torn import persist
from tests.support.steps import failpoints
from tests.support.waiting import until

POINTS = [point for point in failpoints() if ".columns." in point]

SOME = ("ingest.columns.show.before",)
"""Points at which `make test` kills; the nightly checks kill at all."""


def check(point, night):
    """Let a process die at a point while a column is added; it is there, everywhere and with its value."""
    database = night.load(rows_of(1, objects=60))
    night.append(database, rows_of(2, 400, 20))
    if ".clear." in point:
        with long_scan(night, database):
            night.ingest.add_column(f"{database}-1", database, "object", ADDED["object"][1])
            until(lambda: list(on_nodes(night, database, "note").values()).count(None) == 1)
            night.running.arm(point)
            night.ingest.cancel(f"{database}-1")
        until(lambda: set(on_nodes(night, database, "note").values()) == {None}, 60)
    with Hammer(night, database, "flag", 7) as hammer:
        until(lambda: hammer.answers > 5)
        if ".clear." not in point:
            night.running.arm(point)
        found = added(night, database, "object", ADDED["object"][0], f"{database}-2")
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        until(lambda: hammer.wide > 5)
    assert night.running.went_off(point)
    assert hammer.wrong == []
    assert set(on_nodes(night, database, "flag").values()) == {"integer"}
    persist(lambda: night.append(database, rows_of(3, 800, 20)))
    assert night.ask(database, "SELECT DISTINCT flag FROM {db}.object") == [repr({"flag": 7})]


@pytest.mark.parametrize("point", SOME)
def test_who_adds_a_column_is_killed_at_some_point(point, night):
    check(point, night)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_who_adds_a_column_is_killed_anywhere(point, night):
    check(point, night)


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("server", ["node-1", "metadata"])
def test_a_postgresql_killed_while_a_column_is_added(server, night):
    database = night.load(rows_of(1, objects=60))
    with Hammer(night, database, "flag", 7) as hammer:
        with long_scan(night, database, place=1):
            night.ingest.add_column(f"{database}-1", database, "object", ADDED["object"][0])
            until(lambda: list(on_nodes(night, database, "flag").values()).count(None) == 1)
            night.running.kill_postgres(server)
        found = until(lambda: one if (one := persist(lambda: night.ingest.load(f"{database}-1", 5))).ended else None, 120)
        assert (found.state, found.error) == (TransactionState.COMMITTED, None)
        until(lambda: hammer.wide > 5)
    assert hammer.wrong == []
    assert set(on_nodes(night, database, "flag").values()) == {"integer"}


def test_each_step_of_adding_a_column_is_met():
    assert {point.rpartition(".")[0] for point in POINTS} == {
        *("service.columns.enqueue", "ingest.columns.show", "ingest.columns.clear", "worker.columns.alter"),
    }
    assert set(SOME) <= set(POINTS)

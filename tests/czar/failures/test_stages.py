"""Workers and nodes that die, freeze or restart at each stage of a query: the answer is right, or the error says to try again."""

import contextlib
import dataclasses
import random
import re
import time

import pytest

from tests.czar.failures.blows import BLOWS
from tests.czar.failures.stages import STAGES
from tests.czar.failures.survey import ONCE, TWICE

NODE = "node-2"
"""The node that has most chunks."""

ON_NODES = tuple(stage for stage in STAGES if stage != "in_the_scratch_database")

MADE_GOOD = tuple(blow for blow in BLOWS if blow != "scratch_restarted")
"""What another replica makes good."""


def struck(battered, stage, blow, database):
    """Let something happen at a stage of a query; return the error that it ends with, None where its answer is right."""
    with contextlib.ExitStack() as hold:
        query, answer = STAGES[stage](hold, battered, database, NODE)
        with BLOWS[blow](battered, NODE):
            hold.close()
            return battered.check(query, answer)


@pytest.mark.parametrize("stage", ON_NODES)
@pytest.mark.parametrize("blow", ["worker_killed", "worker_frozen", "postgresql_restarted", "connection_reset"])
def test_another_replica_makes_it_good(battered, stage, blow):
    assert struck(battered, stage, blow, TWICE) is None


@pytest.mark.parametrize(
    ("stage", "blow", "says"),
    [
        ("inside_a_chunk", "worker_killed", "no node could answer for chunk .*worker .* cannot be reached"),
        ("before_the_stream", "worker_frozen", "no node could answer for chunk .*worker .* cannot be reached"),
        ("before_the_stream", "postgresql_restarted", "no node could answer for chunk .*PostgreSQL of this node does not answer"),
        ("inside_a_chunk", "connection_reset", "no node could answer for chunk .*worker .* cannot be reached"),
        ("in_the_scratch_database", "scratch_restarted", "scratch database stopped answering"),
    ],
)
def test_without_one_the_error_says_what_is_lost(battered, stage, blow, says):
    error = struck(battered, stage, blow, ONCE)
    assert error is not None
    assert re.search(says, str(error))


@pytest.mark.parametrize(("stage", "blow"), [("between_chunks", "worker_killed"), ("inside_a_chunk", "connection_reset")])
def test_without_one_who_is_soon_back_makes_it_good(battered, stage, blow, monkeypatch):
    engine = battered.session._engine  # noqa: SLF001 (each query waits as long as it says)
    patient = engine.settings.model_copy(update={"node_return_s": 50.0})  # a busy machine takes longer to start a worker
    monkeypatch.setattr(battered.session, "_engine", dataclasses.replace(engine, settings=patient))
    assert struck(battered, stage, blow, ONCE) is None


@pytest.mark.parametrize("blow", MADE_GOOD)
def test_who_is_not_needed_any_more_may_be_struck(battered, blow):
    assert struck(battered, "in_the_scratch_database", blow, ONCE) is None


@pytest.mark.nightly(share=15)
@pytest.mark.timeout(0)
def test_any_blow_at_any_moment(battered, night):
    choice = random.Random(night.seed)  # noqa: S311 (order of trials)
    until_s = time.monotonic() + night.seconds
    every = [(stage, blow, database) for stage in STAGES for blow in BLOWS for database in (ONCE, TWICE)]
    while time.monotonic() < until_s:
        for stage, blow, database in choice.sample(every, len(every)):
            if time.monotonic() > until_s:
                break
            error = struck(battered, stage, blow, database)
            assert error is None or database == ONCE or blow not in MADE_GOOD, (stage, blow, error)
            battered.wait_up()

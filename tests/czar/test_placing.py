"""Tasks of a plan: physical relations, prototypes where a table has no rows, nodes in turn."""

import dataclasses

import numpy as np
import pytest

from czar.analyse import analyse
from czar.analyse.query import MAX_ORPHAN_PLACES, KeyRestriction
from czar.parse import parse
from czar.placing import assignments
from czar.plan.build import build
from czar.snapshot import Snapshot
from qserv.errors import NodeUnavailableError
from tests.czar.conftest import NODES

NEIGHBOURS = (
    "SELECT a.hip FROM hipparcos a JOIN hipparcos b"
    " ON qserv.angular_separation(a.ra_degrees, a.dec_degrees, b.ra_degrees, b.dec_degrees) < 0.001"
)


def plan_of(query, catalogue):
    return build(*analyse(parse(query), catalogue, query), Snapshot())


def tasks_of(query, catalogue, query_id="q"):
    return {each.task.chunk: each for each in assignments(plan_of(query, catalogue), query_id)}


def test_every_slot_is_filled_with_the_chunks_table(catalogue):
    tasks = tasks_of("SELECT hip FROM hipparcos", catalogue)
    assert len(tasks) == 49
    assert tasks[16].task.relations == {"t0": '"stars"."hipparcos_16"'}


def test_the_prototype_stands_in_for_an_overlap_without_rows(catalogue):
    entry = catalogue.find("stars", "hipparcos", quoted=True)
    tasks = tasks_of(NEIGHBOURS, catalogue)
    for chunk, count in zip(entry.chunks.tolist(), entry.overlap_row_counts.tolist(), strict=True):
        overlap = f'"stars"."hipparcos_{chunk}_overlap"' if count else '"stars"."hipparcos"'
        assert overlap in tasks[chunk].task.relations.values()


def test_chunks_that_a_table_does_not_know_have_no_rows(catalogue):
    entry = catalogue.find("stars", "hipparcos", quoted=True)
    assert entry.has_rows(np.array([-5, 0, 10**12])).tolist() == [False, True, False]
    assert not dataclasses.replace(entry, chunks=np.empty(0, dtype=np.int64)).has_rows(np.array([0])).any()


def test_a_query_without_chunks_runs_on_the_prototypes_of_some_node(catalogue):
    ((chunk, only),) = tasks_of("SELECT hip FROM hipparcos WHERE 1 = 2 AND magnitude > 1000", catalogue).items()
    assert (chunk, only.task.relations) == (-1, {"t0": '"stars"."hipparcos"'})
    assert sorted(only.nodes) == sorted(NODES)


def test_replicas_take_turns_by_query_and_chunk(catalogue):
    placed = dict.fromkeys(catalogue.replicas["stars"], NODES)
    everywhere = dataclasses.replace(catalogue, replicas={"stars": placed})
    first = [tasks_of("SELECT hip FROM hipparcos", everywhere, query_id)[16].nodes[0] for query_id in "abcdefgh"]
    assert set(first) == set(NODES)
    tasks = tasks_of("SELECT hip FROM hipparcos", everywhere)
    assert {each.nodes[0] for each in tasks.values()} == set(NODES)
    assert all(sorted(each.nodes) == sorted(NODES) for each in tasks.values())


def test_a_chunk_that_no_node_has_is_named(catalogue):
    lost = dataclasses.replace(catalogue, replicas={"stars": {**catalogue.replicas["stars"], 16: ()}})
    with pytest.raises(NodeUnavailableError, match="no node has chunk 16 of family stars"):
        tasks_of("SELECT hip FROM hipparcos", lost)


LONG = ", ".join(map(str, range(1, 400)))


@pytest.mark.parametrize(
    ("where", "slots"),
    [
        ("hip IN (7, 8, 9)", 1),
        ("7 = hip", 1),
        ("hip = 7 OR hip = 8", 1),
        ("hip = ANY('{7,8}')", 1),
        (f"hip IN ({LONG})", 1),
        ("EXISTS (SELECT 1 FROM visits.visit WHERE hip IN (7, 8))", 1),
        ("hip IN (7, 8) AND hip IN (8, 9)", 1),
        ("hip IN (SELECT column1 FROM (VALUES (7), (8)) AS v)", 0),
        ("NOT hip IN (7, 8)", 0),
        ("hip = 7 OR magnitude > 3", 0),
    ],
)
def test_each_chunk_is_asked_for_its_own_keys(where, slots, catalogue):
    text = f"SELECT hip, '{{keys}}' AS t FROM hipparcos WHERE {where}"  # noqa: S608 (the test is about such text)
    query, rows = analyse(parse(text), catalogue, text)
    condition = next((each.condition for each in query.keys if each.condition is not None), None)
    assert (condition is not None) == bool(slots)
    if condition is not None:
        query = query.asked_by_chunk(condition, np.array([7, 8, 9]), np.array([17, 16, 17]))
    plan = build(dataclasses.replace(query, keys=()), rows, Snapshot())
    assert plan.step.template.replace("{{keys}}", "").count('("hipparcos"."hip" = ANY({keys}))') == slots
    keys = {each.task.chunk: each.task.keys for each in assignments(plan, "q")}
    assert [keys[chunk] for chunk in (16, 17, 18)] == ([[8], [7, 9], ()] if slots else [None] * 3)


def test_keys_that_a_director_lacks_are_asked_of_the_chunks_with_orphans():
    restriction = KeyRestriction("stars", "object", (7, 8, 2**53 + 1, 2**53), np.array([4, 9]))
    orphans = restriction.among_orphans(np.array([8, 2**53]))
    assert orphans.with_chunks(np.array([5, 9])).tolist() == [4, 5, 9]
    keys, chunks = orphans.with_keys(np.array([8, 2**53]), np.array([5, 9]))
    pairs = sorted(zip(keys.tolist(), chunks.tolist(), strict=True))
    assert pairs == [(7, 4), (7, 9), (8, 5), (2**53, 9), (2**53 + 1, 4), (2**53 + 1, 9)]
    assert orphans.are_few
    known = restriction.among_orphans(np.array([7, 8, 2**53, 2**53 + 1]))
    assert known.with_chunks(np.array([5, 9])).tolist() == [5, 9]


def test_many_keys_are_not_sent_to_many_chunks_one_by_one():
    restriction = KeyRestriction("stars", "object", tuple(range(MAX_ORPHAN_PLACES // 100)), np.arange(101))
    assert not restriction.among_orphans(np.empty(0, np.int64)).are_few
    assert len(restriction.among_orphans(np.empty(0, np.int64)).with_chunks(np.array([200]))) == 102

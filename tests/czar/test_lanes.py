"""Which lane a plan is in, and how many chunks are asked at first."""

import dataclasses

import pytest

from czar.analyse import analyse
from czar.analyse.query import Access
from czar.lanes import FEW_CHUNKS, FIRST_ROWS, first_of, lane_of
from czar.parse import parse
from czar.plan.build import build
from czar.snapshot import Snapshot
from workers.protocol import Lane

CONE = "SELECT * FROM hipparcos WHERE DISTANCE(ra_degrees, dec_degrees, 45, 0) < {}"


@pytest.fixture
def plan_of(catalogue):
    """Plan a query."""

    def plan(query):
        return build(*analyse(parse(query), catalogue, query), Snapshot())

    return plan


def test_of_a_small_region_several_chunks_are_asked_at_first_and_of_a_large_one_a_single_one(plan_of):
    small, large = plan_of(CONE.format(1 / 60)), plan_of(CONE.format(5))
    assert (small.access, lane_of(small), first_of(small)) == (Access.SPOT, Lane.INTERACTIVE, FEW_CHUNKS)
    assert (large.access, lane_of(large), first_of(large)) == (Access.REGION, Lane.INTERACTIVE, 1)
    assert small.access.shown == large.access.shown == "region"


def test_keys_are_asked_of_several_chunks_at_first(plan_of):
    found = dataclasses.replace(plan_of("SELECT * FROM hipparcos"), access=Access.KEYS)
    assert (lane_of(found), first_of(found)) == (Lane.INTERACTIVE, FEW_CHUNKS)


def test_aggregates_begin_with_as_many_chunks_as_are_read_in_no_time(plan_of):
    plan = plan_of("SELECT MAX(hip) FROM hipparcos")
    chunks = len(plan.tasks)
    for rows, first in ((FIRST_ROWS * chunks // 10, 10), (FIRST_ROWS * chunks, 1), (10 * FIRST_ROWS * chunks, 1)):
        assert first_of(dataclasses.replace(plan, rows=rows)) == first


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM hipparcos",
        "SELECT COUNT(*) FROM hipparcos AS a JOIN hipparcos AS b ON a.hip = b.hip",
    ],
)
def test_what_sends_rows_and_what_pairs_them_begins_with_one_chunk(plan_of, query):
    assert first_of(plan_of(query)) == 1

"""Pairs of near points, compared with all distances between all points, and with a k-d tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from partitioner import nearest, pairs
from partitioner.nearest import REACH_DEG, Positions, chord, nearest_deg
from partitioner.pairs import close_pairs
from partitioner.sphere import positions, unit_vectors

CENTRES = np.array([[0.0, 0.0], [359.9999999, 12.0], [10.0, 90.0], [200.0, -89.9999], [266.4, -28.9]])

ALL = 10**9


def around(random, centres, count, width_rad):
    """Return unit vectors near some centres."""
    points = unit_vectors(*centres[random.integers(0, len(centres), count)].T) + random.normal(0, width_rad, (count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def measured(points, reach):
    """Return all pairs as a dictionary of their chords."""
    chords = np.linalg.norm(points[:, None] - points[None], axis=2)
    return {(i, j): chords[i, j] for i, j in zip(*np.nonzero(chords <= reach), strict=True) if i < j}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2, 40, 150]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([1e-12, 1e-7, 1.4e-5, 0.05, 2.0]),
)
def test_each_pair_within_the_reach_is_found_once(seed, count, places, reach):
    random = np.random.default_rng(seed)
    points = around(random, CENTRES[random.permutation(len(CENTRES))[:places]], count, 3 * reach)
    found = close_pairs(points, reach, ALL)
    listed = [tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)]
    assert len(set(listed)) == len(listed)
    expected = measured(points, reach)
    # A rounding away from the reach both answers are right.
    sure = {pair for pair, separation in expected.items() if separation <= reach * (1 - 1e-12) - 1e-15}
    assert sure <= set(listed) <= set(expected) | set(measured(points, reach * (1 + 1e-12) + 1e-15))
    for pair, separation in zip(listed, found.chords, strict=True):
        assert separation == pytest.approx(expected.get(pair, reach), abs=1e-15)


def test_pairs_of_points_all_over_the_sky_are_found():
    random = np.random.default_rng(2)
    points = random.normal(size=(20_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = close_pairs(points, 0.02, ALL)
    assert {tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)} == cKDTree(
        points
    ).query_pairs(0.02)


def test_the_middle_of_the_points_may_be_that_of_the_sphere():
    points = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    assert not len(close_pairs(points, 0.1, ALL).chords)
    found = close_pairs(np.concatenate([points, points]), 0.1, ALL)
    assert (
        sorted((found.second - found.first).tolist())
        == [-4] * (found.first > found.second).sum() + [4] * (found.first < found.second).sum()
    )
    assert len(found.chords) == 4


@pytest.mark.parametrize("block", [1, 7, 65_536])
def test_as_many_pairs_are_measured_as_may_be(block, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", block)
    points = around(np.random.default_rng(3), CENTRES[:1], 100, 1e-7)
    assert len(close_pairs(points, 1e-3, 4950).chords) == 4950
    assert close_pairs(points, 1e-3, 4949) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 50, 400]), st.sampled_from([0, 1, 50, 400]), st.floats(0.1, 100))
def test_strips_and_trees_find_the_same_neighbours(seed, count, near, spread):
    random = np.random.default_rng(seed)
    parts = [Positions(*positions(around(random, CENTRES, each, np.radians(spread * REACH_DEG)))) for each in (count, near)]
    in_strips = nearest_deg(*parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "PAIRS_A_POINT", 0)
        patch.setattr(nearest, "FEW_PAIRS", -1)
        in_trees = nearest_deg(*parts)
    for one, other in zip(in_strips, in_trees, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


def test_a_field_that_is_too_dense_for_strips_has_the_same_neighbours():
    random = np.random.default_rng(4)
    points = around(random, CENTRES[:1], 3_000, chord(REACH_DEG) / 3)
    base, overlap = Positions(*positions(points[:2_000])), Positions(*positions(points[2_000:]))
    assert close_pairs(points, chord(REACH_DEG), nearest.PAIRS_A_POINT * len(points) + nearest.FEW_PAIRS) is None
    of_base, of_overlap = nearest_deg(base, overlap)
    chords = np.linalg.norm(unit_vectors(*positions(points))[:, None] - unit_vectors(*positions(points))[None], axis=2)
    np.fill_diagonal(chords, np.inf)
    chords[2_000:, 2_000:] = np.inf
    np.testing.assert_allclose(np.concatenate([of_base, of_overlap]), np.degrees(chords.min(axis=1)), atol=2e-9)

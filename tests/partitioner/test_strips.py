"""Nearest points and groups of points in strips, compared with all distances between all points, and with a k-d tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from partitioner import nearest
from partitioner.friends import LOOKED_AT_A_PAIR
from partitioner.loops import linked_groups, nearest_chords
from partitioner.nearest import REACH_DEG, Positions, chord, nearest_deg
from partitioner.sphere import positions, unit_vectors
from partitioner.strips import strips

CENTRES = np.array([[0.0, 0.0], [359.9999999, 12.0], [10.0, 90.0], [200.0, -89.9999], [266.4, -28.9]])

ALL = 10**15


def around(random, centres, count, width_rad):
    """Return unit vectors near some centres."""
    points = unit_vectors(*centres[random.integers(0, len(centres), count)].T) + random.normal(0, width_rad, (count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def scattered(seed, count, places, reach):
    random = np.random.default_rng(seed)
    return around(random, CENTRES[random.permutation(len(CENTRES))[:places]], count, 3 * reach)


def distances(points):
    """Return the chords between all points, infinite from each to itself."""
    found = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(found, np.inf)
    return found


many = given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2, 40, 150]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([1e-12, 1e-7, 1.4e-5, 0.05, 2.0]),
)


@settings(deadline=None, max_examples=60)
@many
def test_of_each_point_the_nearest_one_within_the_reach_is_found(seed, count, places, reach):
    points = scattered(seed, count, places, reach)
    base = count // 2
    expected = distances(points)
    expected[base:, base:] = np.inf
    expected = expected.min(axis=1, initial=np.inf)
    chords, all_measured = nearest_chords(strips(points, reach), base, reach, ALL)
    assert all_measured
    # A rounding away from the reach both answers are right.
    assert np.all(np.isfinite(chords[expected <= reach * (1 - 1e-12) - 1e-15]))
    found = np.isfinite(chords)
    assert np.all(expected[found] <= reach * (1 + 1e-12) + 1e-15)
    np.testing.assert_allclose(chords[found], expected[found], rtol=1e-12, atol=1e-15)


@settings(deadline=None, max_examples=60)
@many
def test_groups_are_what_chains_of_points_within_the_reach_connect(seed, count, places, reach):
    points = scattered(seed, count, places, reach)
    groups, small = linked_groups(strips(points, reach), reach, ALL, ALL)
    assert small
    least, most = (
        connected_components(distances(points) <= edge)[1] for edge in (reach * (1 - 1e-12) - 1e-15, reach * (1 + 1e-12) + 1e-15)
    )
    together = groups[:, None] == groups
    assert np.all(together[least[:, None] == least])
    assert np.all((most[:, None] == most)[together])
    # Numbered in the order of their first points.
    assert groups[np.sort(np.unique(groups, return_index=True)[1])].tolist() == list(range(len(set(groups.tolist()))))


def test_neighbours_and_groups_of_points_all_over_the_sky_are_found():
    points = np.random.default_rng(2).normal(size=(20_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    tree, reach = cKDTree(points), 0.02
    chords, _ = nearest_chords(strips(points, reach), len(points), reach, ALL)
    np.testing.assert_allclose(chords, tree.query(points, k=[2], distance_upper_bound=reach)[0][:, 0], rtol=1e-12)
    groups, _ = linked_groups(strips(points, reach / 4), reach / 4, ALL, ALL)
    pairs = tree.query_pairs(reach / 4, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(points), len(points)))
    np.testing.assert_array_equal(groups, connected_components(links, directed=False)[1])
    assert 10_000 < groups.max() < len(points) - 1_000


def test_the_middle_of_the_points_may_be_that_of_the_sphere():
    points = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    assert np.isinf(nearest_chords(strips(points, 0.1), 4, 0.1, ALL)[0]).all()
    twice = strips(np.concatenate([points, points]), 0.1)
    assert not nearest_chords(twice, 8, 0.1, ALL)[0].any()
    assert linked_groups(twice, 0.1, ALL, ALL)[0].tolist() == [0, 1, 2, 3] * 2


def test_as_many_points_are_looked_at_as_may_be():
    dense = strips(around(np.random.default_rng(3), CENTRES[:1], 100, 1e-7), 1e-3)
    assert linked_groups(dense, 1e-3, 100**2, 4950)[1]
    assert not linked_groups(dense, 1e-3, 100**2 - 1, 4950)[1]
    assert not linked_groups(dense, 1e-3, 100**2, 4949)[1]
    # Each looks at all, itself included, where none counts as a neighbour; else at those that may be nearer.
    assert nearest_chords(dense, 0, 1e-3, 100**2)[1]
    assert not nearest_chords(dense, 0, 1e-3, 100**2 - 1)[1]
    assert nearest_chords(dense, 100, 1e-3, 100**2 // 3)[1]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([1, 4, 30]), st.floats(0.5, 3), st.floats(0.001, 1))
def test_where_groups_are_small_few_points_are_looked_at(seed, objects, apart, width):
    """Half as many as may be, as in a field the plane of the strips fits."""
    reach = chord(REACH_DEG)
    random = np.random.default_rng(seed)
    places = apart * reach * np.stack(np.meshgrid(range(objects), range(objects)), axis=-1).reshape(-1, 2)
    places = np.repeat(places, 900 // objects**2 + 1, axis=0)
    points = unit_vectors(
        *(30 + np.degrees(places + random.normal(0, width * reach, places.shape)) * [[1 / np.cos(np.radians(30)), 1]]).T
    )
    field = strips(points, reach)
    sizes = np.bincount(linked_groups(field, reach, ALL, ALL)[0])
    pairs = int(np.square(sizes).sum())
    assert linked_groups(field, reach, pairs, LOOKED_AT_A_PAIR // 2 * pairs)[1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 50, 400]), st.sampled_from([0, 1, 50, 400]), st.floats(0.1, 100))
def test_strips_and_trees_find_the_same_neighbours(seed, count, near, spread):
    random = np.random.default_rng(seed)
    parts = [Positions(*positions(around(random, CENTRES, each, np.radians(spread * REACH_DEG)))) for each in (count, near)]
    in_strips = nearest_deg(*parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "LOOKED_AT_A_POINT", 0)
        patch.setattr(nearest, "FEW_LOOKED_AT", -1)
        in_trees = nearest_deg(*parts)
    for one, other in zip(in_strips, in_trees, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("looked_at", [1, 1_000])
def test_a_dense_field_has_the_same_neighbours_in_strips_and_in_trees(looked_at, monkeypatch):
    monkeypatch.setattr(nearest, "LOOKED_AT_A_POINT", looked_at)
    monkeypatch.setattr(nearest, "FEW_LOOKED_AT", 0)
    points = around(np.random.default_rng(4), CENTRES[:1], 3_000, chord(REACH_DEG) / 3)
    reach = chord(REACH_DEG)
    assert nearest_chords(strips(points, reach), 2_000, reach, looked_at * len(points))[1] == (looked_at > 1)
    base, overlap = Positions(*positions(points[:2_000])), Positions(*positions(points[2_000:]))
    of_base, of_overlap = nearest_deg(base, overlap)
    chords = distances(unit_vectors(*positions(points)))
    chords[2_000:, 2_000:] = np.inf
    np.testing.assert_allclose(np.concatenate([of_base, of_overlap]), np.degrees(chords.min(axis=1)), atol=2e-9)


def test_points_on_both_sides_of_a_border_that_are_far_from_it_are_no_endless_work():
    """Each of a side has all of the other one within the reach, and none that is near."""
    random = np.random.default_rng(6)
    count = 40_000
    sides = [
        Positions(ra + random.uniform(0, REACH_DEG / 10, count), random.uniform(0, REACH_DEG / 10, count))
        for ra in (10, 10 + 0.7 * REACH_DEG)
    ]
    points = np.concatenate([side.points for side in sides])
    reach = chord(REACH_DEG)
    most = nearest.LOOKED_AT_A_POINT * len(points) + nearest.FEW_LOOKED_AT
    assert not nearest_chords(strips(points, reach), count, reach, most)[1]
    of_base, of_overlap = nearest_deg(*sides)
    assert of_base.max() < REACH_DEG / 100
    assert of_overlap.min() > 0.59 * REACH_DEG

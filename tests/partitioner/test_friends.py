"""Groups of near neighbours, compared with all separations of all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.friends import FEW_PAIRS, NONE, PAIRS_A_PLACE, friends
from partitioner.healpix import pixel_of
from partitioner.nearest import REACH_DEG, Positions, nearest_deg
from partitioner.sphere import positions, unit_vectors, vector_separation_rad

CENTRES = np.array([[0.0, 0.0], [359.9999999, 12.0], [45.0, 41.810314895778596], [10.0, 90.0], [200.0, -89.9999], [266.4, -28.9]])


def scattered(random, count, width_deg):
    """Return positions near the centres, a third of them repeated, in the order of pixels, and two rows without one."""
    centre = unit_vectors(*CENTRES[random.integers(0, len(CENTRES), count)].T)
    points = centre + random.normal(0, np.radians(width_deg), (count, 3))
    ra, dec = positions(points[random.integers(0, max(count - count // 3, 1), count)])
    order = np.argsort(pixel_of(ra, dec), kind="stable")
    return np.append([np.nan, np.nan], ra[order]), np.append([np.nan, np.nan], dec[order])


NO_ROWS = (np.empty(0), np.empty(0))


def of_rows(base, overlap=NO_ROWS):
    parts = [Positions(*base), Positions(*overlap)]
    nearest = nearest_deg(*parts)
    groups, linking_deg = friends(list(zip(parts, nearest, strict=True)))
    for group, near in zip(groups, nearest, strict=True):
        np.testing.assert_array_equal(group == NONE, np.isnan(near))
    return groups, linking_deg


def linked(rows, linking_deg):
    """Return which rows chains of links connect, shape (n, n)."""
    points = unit_vectors(*rows)
    reached = np.degrees(vector_separation_rad(points[:, None], points[None])) <= linking_deg
    while True:
        further = (reached.astype(np.float32) @ reached) > 0
        if (further == reached).all():
            return reached
        reached = further


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 2, 60]), st.sampled_from([0, 1, 30]))
def test_a_group_is_what_chains_of_near_rows_connect(seed, count, near):
    random = np.random.default_rng(seed)
    base, overlap = (scattered(random, each, 4 * REACH_DEG) for each in (count, near))
    groups, linking_deg = of_rows(base, overlap)
    assert linking_deg == REACH_DEG
    group = np.concatenate(groups)
    known = group != NONE
    np.testing.assert_array_equal(
        group[known, None] == group[known], linked(np.concatenate([base, overlap], axis=1)[:, known], linking_deg)
    )


@pytest.mark.parametrize("dec", [0.0, 60.0, -89.9999])
@pytest.mark.parametrize("factor", [1 - 1e-9, 1.0])
def test_a_pair_at_the_linking_length_is_in_one_group(factor, dec):
    (group, _), _ = of_rows((np.zeros(2), np.array([dec, dec + factor * REACH_DEG])))
    assert group.tolist() == [0, 0]


def test_positions_are_the_same_at_a_pole_and_at_longitude_0():
    ra, dec = np.array([0.0, 123.0, 0.0, 359.99999999]), np.array([90.0, 90.0, 5.0, 5.0])
    (group, _), _ = of_rows((ra, dec))
    assert group[0] == group[1] != group[2] == group[3]


def test_links_are_shorter_where_a_field_is_so_dense_that_they_would_connect_all_of_it():
    count, width_deg = 30_000, 100 * REACH_DEG
    random = np.random.default_rng(1)
    ra, dec = random.uniform(10, 10 + width_deg, count), random.uniform(-width_deg / 2, width_deg / 2, count)
    order = np.argsort(pixel_of(ra, dec))
    (group, _), linking_deg = of_rows((ra[order], dec[order]))
    assert linking_deg in {REACH_DEG / 2, REACH_DEG / 4}
    sizes = np.bincount(group[group != NONE])
    assert np.square(sizes).sum() <= PAIRS_A_PLACE * sizes.sum() + FEW_PAIRS
    assert len(sizes) > count / 10


def test_many_rows_at_one_place_are_one_group():
    count = 300_000
    groups, linking_deg = of_rows((np.full(count, 12.5), np.full(count, -3.0)), (np.array([12.5]), np.array([-3.0])))
    assert linking_deg == REACH_DEG
    assert not np.concatenate(groups).any()


@pytest.mark.parametrize(("objects", "rows", "width_deg"), [(1, 600, 1e-13), (6_000, 16, 1e-12)])
def test_rows_whose_positions_differ_by_rounding_have_no_groups(objects, rows, width_deg):
    random = np.random.default_rng(1)
    ra, dec = (np.repeat(random.uniform(10, 11, objects), rows) + random.normal(0, width_deg, rows * objects) for _ in "ab")
    order = np.argsort(pixel_of(ra, dec), kind="stable")
    (group, _), linking_deg = of_rows((ra[order], dec[order]))
    assert linking_deg is None
    assert (group != NONE).all()

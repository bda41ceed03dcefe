"""How near the nearest other row is, compared with all separations of all rows."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.healpix import pixel_of
from partitioner.nearest import MARGIN_RAD, REACH_DEG, Positions, nearest_deg
from partitioner.sphere import positions, unit_vectors, vector_separation_rad

CENTRES = np.array([[0.0, 0.0], [359.9999999, 12.0], [45.0, 41.810314895778596], [10.0, 90.0], [200.0, -89.9999], [266.4, -28.9]])


def scattered(random, count):
    """Return positions near the centres, a third of them repeated, in the order of pixels, and two rows without one."""
    centre = unit_vectors(*CENTRES[random.integers(0, len(CENTRES), count)].T)
    points = centre + random.normal(0, np.radians(2 * REACH_DEG), (count, 3))
    ra, dec = positions(points[random.integers(0, max(count - count // 3, 1), count)])
    order = np.argsort(pixel_of(ra, dec), kind="stable")
    return np.append([np.nan, np.nan], ra[order]), np.append([np.nan, np.nan], dec[order])


def check(kept, separations):
    """Compare what is kept of rows with all separations of each, deg, shape (rows, others)."""
    nearest = np.nanmin(np.column_stack([separations, np.full(len(separations), np.inf)]), axis=1)
    np.testing.assert_array_equal(np.isnan(kept), ~(nearest <= REACH_DEG))
    lost = np.radians(nearest - kept)[~np.isnan(kept)]
    assert np.all((lost >= 0) & (lost <= 1.1 * MARGIN_RAD))


def separations_deg(rows, others):
    return np.degrees(vector_separation_rad(unit_vectors(*rows)[:, None], unit_vectors(*others)[None]))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 2, 60]), st.sampled_from([0, 1, 30]))
def test_rows_of_a_chunk_have_neighbours_in_both_and_those_of_the_overlap_in_the_chunk(seed, count, near):
    random = np.random.default_rng(seed)
    base, overlap = scattered(random, count), scattered(random, near)
    of_base, of_overlap = nearest_deg(Positions(*base), Positions(*overlap))
    own = separations_deg(base, base)
    np.fill_diagonal(own, np.inf)
    check(of_base, np.column_stack([own, separations_deg(base, overlap)]))
    check(of_overlap, separations_deg(overlap, base))


def test_equal_positions_in_a_row_are_one_place():
    ra, dec = np.array([10, np.nan, 10, 10, 200, 10, 10, 10]), np.array([5, 5, 5, np.nan, -90, -5, 5, 5.0])
    rows = Positions(ra, dec)
    assert rows.place.tolist() == [0, 0, 1, 2, 3, 3]
    assert rows.shared.tolist() == [True, False, False, True]
    np.testing.assert_allclose(rows.points, unit_vectors([10, 200, 10, 10], [5, -90, -5, 5]), rtol=0, atol=3e-16)
    assert rows.of_rows(np.arange(4), -1).tolist() == [0, -1, 0, -1, 1, 2, 3, 3]


@pytest.mark.parametrize("dec", [0.0, 60.0, -89.9999])
@pytest.mark.parametrize("factor", [1e-9, 1e-4, 1 - 1e-9, 1.0])
def test_no_pair_within_the_reach_is_farther_than_it_is_kept(factor, dec):
    separation = factor * REACH_DEG
    rows = Positions(np.zeros(2), np.array([dec, dec + separation]))
    kept, _ = nearest_deg(rows, Positions(np.empty(0), np.empty(0)))
    assert np.all(kept <= separation)
    assert np.all(kept >= separation - 1.1 * np.degrees(MARGIN_RAD))


def test_a_pair_beyond_the_reach_is_none():
    rows = Positions(np.zeros(2), np.array([0.0, 1.001 * REACH_DEG]))
    kept, _ = nearest_deg(rows, Positions(np.empty(0), np.empty(0)))
    assert np.isnan(kept).all()


def test_many_rows_at_one_place_are_no_work():
    count = 300_000
    rows = Positions(np.full(count, 12.5), np.full(count, -3.0))
    alone = Positions(np.array([12.5]), np.array([-3.0]))
    of_base, of_overlap = nearest_deg(rows, alone)
    assert not of_base.any()
    assert of_overlap.tolist() == [0.0]


def test_who_may_look_for_neighbours_starts_without_a_compiler():
    code = "import sys, partitioner.friends, partitioner.nearest; print({'numba', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"

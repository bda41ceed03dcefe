"""Overlap of rows against the distance to finely sampled edges of every other chunk."""

import hpgeom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner import healpix
from partitioner.chunkmap import ChunkMap, Histogram
from partitioner.face import BELT_GRADIENT_PER_RAD, CURVATURE_PER_SIDE, GRADIENT_PER_RAD, face_corner, face_vectors, within_pixel
from partitioner.overlap import MAX_OVERLAP_DEG, assign, overlap_chunks
from partitioner.sphere import cross, positions, unit_vectors, vector_separation_rad

SIDE_DEG = 58.6
"""Side of a base pixel, about."""

STEPS = 64
"""Points on an edge of a chunk. Between two of them an edge leaves their chord by less than 3e-5 of its length."""


def distances_deg(xyz, chunk_map, index):
    """Distances of points, shape (n, 3), from the edges of one chunk."""
    lon, lat = healpix.boundaries(int(chunk_map.orders[index]), chunk_map.ipix[index], step=STEPS)
    starts = unit_vectors(lon, lat)
    chords = np.roll(starts, -1, axis=0) - starts
    offset = xyz[:, np.newaxis, :] - starts
    along = np.clip(np.einsum("nmi,mi->nm", offset, chords) / np.einsum("mi,mi->m", chords, chords), 0, 1)
    nearest = np.linalg.norm(offset - along[..., np.newaxis] * chords, axis=2).min(axis=1)
    return np.degrees(2 * np.arcsin(np.minimum(nearest / 2, 1)))


def assert_overlap_is_right(ra, dec, chunk_map, overlap_deg):
    """Nothing within the radius is missing, nothing more than 1 % beyond it is there."""
    result = assign(ra, dec, chunk_map, overlap_deg)
    assert (np.diff(result.overlap_row) >= 0).all()
    pairs = set(zip(result.overlap_row.tolist(), result.overlap_chunk.tolist(), strict=True))
    assert len(pairs) == len(result.overlap_row)
    xyz = unit_vectors(ra, dec)
    for index, chunk in enumerate(chunk_map.nuniq.tolist()):
        order = int(chunk_map.orders[index])
        centre = healpix.pixel_centre_xyz(order, chunk_map.ipix[index : index + 1])[0]
        reach = np.radians(1.02 * overlap_deg + hpgeom.max_pixel_radius(1 << order))
        rows = np.flatnonzero((vector_separation_rad(xyz, centre) <= reach) & (result.chunk != chunk))
        distance = distances_deg(xyz[rows], chunk_map, index) if len(rows) else np.empty(0)
        rounding = 3e-5 * SIDE_DEG / 2**order
        required = set(rows[distance <= overlap_deg - rounding].tolist())
        allowed = set(rows[distance <= 1.01 * overlap_deg + rounding].tolist())
        found = {row for row, of in pairs if of == chunk}
        assert required <= found, f"chunk {chunk} misses rows at {ra[list(required - found)]}, {dec[list(required - found)]}"
        assert found <= allowed, f"chunk {chunk} has rows too far away at {ra[list(found - allowed)]}, {dec[list(found - allowed)]}"
    return result


def near_edges_and_corners(chunk_map, overlap_deg, rng, count):
    """Positions up to 1.3 radii from edges, half of them from corners; at poles, RA = 0 and the caps' parallels; some on edges."""
    index = rng.integers(0, len(chunk_map), count)
    edges = [healpix.boundaries(int(chunk_map.orders[i]), chunk_map.ipix[i], step=8) for i in index]
    at = rng.integers(0, 32, count)
    at = np.where(rng.random(count) < 0.5, at, at // 8 * 8)
    lon, lat = (np.array([edge[axis][i] for edge, i in zip(edges, at, strict=True)]) for axis in (0, 1))
    special = rng.random(count)
    lon = np.where(special < 0.1, rng.choice([0.0, 45.0, 90.0, 180.0, 270.0, 360.0], count), lon)
    lat = np.where(special < 0.05, rng.choice([90.0, -90.0, 41.810314895778596, -41.810314895778596, 0.0], count), lat)
    step = np.radians(overlap_deg) * rng.choice([0.0, 0.2, 0.9, 0.999, 1.001, 1.02, 1.3], count)
    direction = unit_vectors(rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count))))
    xyz = unit_vectors(lon, lat)
    aside = cross(xyz, direction)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    moved = np.cos(step)[:, np.newaxis] * xyz + np.sin(step)[:, np.newaxis] * aside
    ra, dec = positions(moved)
    exact = rng.random(count) < 0.05
    return np.where(exact, lon, ra), np.where(exact, lat, dec)


def mixed_map(rng, splits):
    """A map split at random, so that neighbours may be several orders apart."""
    orders, pixels = np.zeros(12, dtype=np.int64), np.arange(12)
    for _ in range(splits):
        split = rng.random(len(pixels)) < 0.35
        orders = np.concatenate((orders[~split], np.repeat(orders[split] + 1, 4)))
        pixels = np.concatenate((pixels[~split], (4 * pixels[split][:, np.newaxis] + np.arange(4)).ravel()))
    return ChunkMap.from_nuniq(healpix.nuniq_of(orders, pixels))


@given(st.integers(0, 3), st.floats(-4, -0.2), st.integers(0, 10**6))
@settings(max_examples=35, deadline=None)
def test_uniform_maps(order, log_sides, seed):
    rng = np.random.default_rng(seed)
    chunk_map = ChunkMap.uniform(order)
    overlap = min(10**log_sides * SIDE_DEG / 2**order, MAX_OVERLAP_DEG)
    result = assert_overlap_is_right(*near_edges_and_corners(chunk_map, overlap, rng, 150), chunk_map, overlap)
    assert len(result.overlap_row)


@given(st.integers(1, 5), st.floats(-3, 1), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_maps_of_several_orders(splits, log_overlap, seed):
    rng = np.random.default_rng(seed)
    chunk_map = mixed_map(rng, splits)
    ra, dec = near_edges_and_corners(chunk_map, 10**log_overlap, rng, 150)
    assert_overlap_is_right(ra, dec, chunk_map, 10**log_overlap)


@pytest.mark.parametrize("overlap_deg", [0.5, 2.0, 5.0])
def test_radius_larger_than_a_chunk(overlap_deg):
    rng = np.random.default_rng(11)
    chunk_map = ChunkMap.uniform(4)
    ra, dec = near_edges_and_corners(chunk_map, overlap_deg, rng, 60)
    assert_overlap_is_right(ra, dec, chunk_map, overlap_deg)


def test_the_whole_sky_at_random():
    rng = np.random.default_rng(12)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    result = assert_overlap_is_right(ra, dec, ChunkMap.uniform(2), 1.0)
    assert 0.2 < len(result.overlap_row) / 3000 < 0.4


@pytest.mark.parametrize("dec", [90.0, -90.0])
def test_a_pole_is_near_four_chunks(dec):
    ra = np.array([0.0, 89.0, 123.0, 359.9])
    result = assign(ra, np.full(4, dec), ChunkMap.uniform(3), 0.01)
    assert np.bincount(result.overlap_row).tolist() == [3, 3, 3, 3]
    assert all(len({own, *result.overlap_chunk[result.overlap_row == row].tolist()}) == 4 for row, own in enumerate(result.chunk))


@pytest.mark.parametrize("order", [0, 1, 4])
def test_a_corner_where_three_chunks_meet(order):
    """The western corner of base pixel 4 touches pixels 0 and 3 of the north, or 8 and 11 of the south, and no fourth one."""
    chunk_map = ChunkMap.uniform(order)
    for dec in (41.810314895778596, -41.810314895778596):
        for ra in (0.0, 90.0, 180.0, 270.0):
            result = assign(np.array([ra]), np.array([dec]), chunk_map, 0.001)
            assert len(result.overlap_chunk) == 2
            assert assert_overlap_is_right(np.array([ra]), np.array([dec]), chunk_map, 0.001) is not None


def test_longitudes_beyond_a_turn_are_the_same_rows():
    rng = np.random.default_rng(5)
    chunk_map = ChunkMap.uniform(3)
    ra, dec = rng.uniform(-0.2, 0.2, 500), rng.uniform(-90, 90, 500)
    first, turned = assign(ra, dec, chunk_map, 0.1), assign(ra + 360, dec, chunk_map, 0.1)
    np.testing.assert_array_equal(first.chunk, turned.chunk)
    np.testing.assert_array_equal(first.overlap_row, turned.overlap_row)
    np.testing.assert_array_equal(first.overlap_chunk, turned.overlap_chunk)


def test_no_overlap_and_no_rows():
    for result in (assign([10.0], [10.0], ChunkMap.uniform(3), 0.0), assign([], [], ChunkMap.uniform(3), 0.1)):
        assert result.overlap_row.tolist() == result.overlap_chunk.tolist() == []
        assert result.overlap_row.dtype == result.overlap_chunk.dtype == np.int64
    for wrong in (-0.1, np.nan, 11.0):
        with pytest.raises(ValueError, match="overlap radius"):
            overlap_chunks([10.0], [10.0], [0], ChunkMap.uniform(3), wrong)


def test_rows_of_a_batch_do_not_depend_on_each_other():
    rng = np.random.default_rng(6)
    chunk_map = mixed_map(rng, 4)
    ra, dec = near_edges_and_corners(chunk_map, 0.5, rng, 300)
    together = assign(ra, dec, chunk_map, 0.5)
    for row in range(0, 300, 10):
        alone = assign(ra[row : row + 1], dec[row : row + 1], chunk_map, 0.5)
        np.testing.assert_array_equal(alone.overlap_chunk, together.overlap_chunk[together.overlap_row == row])


def test_deep_chunks_of_a_dense_field():
    rng = np.random.default_rng(7)
    ra, dec = rng.normal(56.75, 0.05, 4000), rng.normal(24.12, 0.05, 4000)
    histogram = Histogram(10)
    histogram.add(healpix.pixel_of(ra, dec))
    chunk_map = ChunkMap.adaptive(histogram.counts, 50)
    result = assign(ra, dec, chunk_map, 0.01)
    xyz, radius = unit_vectors(ra, dec), np.radians(0.01)
    near = vector_separation_rad(xyz[:1000, np.newaxis], xyz[np.newaxis, :]) <= radius
    has = {*zip(result.overlap_row.tolist(), result.overlap_chunk.tolist(), strict=True)}
    has |= {*enumerate(result.chunk.tolist())}
    for row, neighbour in np.argwhere(near).tolist():
        assert (neighbour, int(result.chunk[row])) in has


def test_the_constants_of_faces_hold_everywhere():
    rng = np.random.default_rng(8)
    pixels = healpix.pixel_of(rng.uniform(0, 360, 50_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 50_000))))
    face, x, y = face_corner(29, pixels)
    xyz, by_x, by_y = face_vectors(face, x + 2.0**-30, y + 2.0**-30)
    assert np.abs(xyz - healpix.pixel_centre_xyz(29, pixels)).max() < 1e-14
    xx, yy, xy = ((a * b).sum(axis=1) for a, b in ((by_x, by_x), (by_y, by_y), (by_x, by_y)))
    gradient = np.sqrt(np.maximum(xx, yy) / (xx * yy - xy * xy))
    belt = np.abs(xyz[:, 2]) < 2 / 3
    assert gradient.max() <= GRADIENT_PER_RAD < gradient.max() * 1.01
    assert gradient[belt].max() <= BELT_GRADIENT_PER_RAD * (1 + 1e-9) < gradient[belt].max() * 1.01
    u, v = within_pixel(pixels, 3)
    _, x3, y3 = face_corner(3, pixels >> 52)
    np.testing.assert_allclose(x3 + u / 8, x + 2.0**-30, atol=1e-12)
    np.testing.assert_allclose(y3 + v / 8, y + 2.0**-30, atol=1e-12)
    derivative = (face_vectors(face, x + 1e-7, y)[0] - face_vectors(face, x - 1e-7, y)[0]) / 2e-7
    smooth = (np.abs(np.abs(xyz[:, 2]) - 2 / 3) > 1e-5) & (np.abs(xyz[:, 2]) < 0.9999)
    np.testing.assert_allclose(derivative[smooth], by_x[smooth], atol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 4])
def test_edges_are_no_more_curved_than_stated(order):
    sides = 1 << order
    along = np.linspace(0, 1, 100 * sides + 1)
    for face in (0, 4, 9):
        for line in range(sides + 1):
            _, _, by_y = face_vectors(np.full(len(along), face), np.full(len(along), line / sides), along)
            speed = np.linalg.norm(by_y, axis=1)
            tangent = by_y / np.maximum(speed, 1e-300)[:, np.newaxis]
            turned = np.linalg.norm(np.diff(tangent, axis=0), axis=1) / (np.diff(along) * (speed[1:] + speed[:-1]) / 2)
            inner = np.arange(len(turned)) % 100
            assert turned[(inner > 0) & (inner < 99)].max() < CURVATURE_PER_SIDE * sides

"""Polygons against geometry that needs no crossing count: star-shaped ones, planar ones, and mocpy's convex ones."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from partitioner.arcs import ArcChain
from partitioner.healpix import pixel_centre, pixel_of
from partitioner.regions import Polygon, adql_box
from partitioner.sphere import angular_separation_deg, positions, unit_vectors
from qserv.errors import QueryValueError


def basis(ra, dec):
    """East, north and centre at a position."""
    lon, lat = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return np.stack((east, north, unit_vectors(ra, dec)))


def offset(frame, azimuth, distance_rad):
    """Unit vectors at distances and azimuths (rad, north to west, so counter-clockwise as seen from outside) of the centre."""
    azimuth, distance_rad = np.broadcast_arrays(azimuth, distance_rad)
    plane = np.stack((-np.sin(azimuth), np.cos(azimuth)), axis=-1) * np.sin(distance_rad)[..., np.newaxis]
    return np.concatenate((plane, np.cos(distance_rad)[..., np.newaxis]), axis=-1) @ frame


@st.composite
def stars(draw):
    """A polygon every point of which is seen from a centre, and the vectors it was made of, counter-clockwise about the centre."""
    ra = draw(st.sampled_from([0.0, 359.9999, 45.0, 123.4]))
    dec = draw(st.sampled_from([0.0, 90.0, -90.0, 89.9, 41.8, -33.0]))
    count = draw(st.integers(3, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    steps = rng.uniform(0.3, 1.0, count)
    azimuth = np.cumsum(steps) * 2 * np.pi / steps.sum() + rng.uniform(0, 6)
    if np.diff(azimuth, append=azimuth[0] + 2 * np.pi).max() > 3:
        azimuth = np.arange(count) * 2 * np.pi / count
    scale = draw(st.sampled_from([1e-7, 1e-4, 0.01, 0.3, 1.0, 1.8]))
    xyz = offset(basis(ra, dec), azimuth, scale * rng.uniform(0.25, 1.0, count))
    return basis(ra, dec), azimuth, scale, xyz, bool(draw(st.booleans()))


def polygon_of(xyz, *, clockwise=False):
    return Polygon(list(zip(*positions(xyz[::-1] if clockwise else xyz), strict=True)))


def crossing_rule(polygon, xyz):
    """The rule as the class states it, in its plainest form."""
    a, b = polygon.vertices_xyz, np.roll(polygon.vertices_xyz, -1, axis=0)
    n = np.cross(polygon.exterior - xyz, polygon.exterior + xyz)
    a_up, b_up = n @ a.T >= 0, n @ b.T >= 0
    m = np.cross(a - b, a + b)
    at_reference, at_point = m @ polygon.exterior, xyz @ m.T
    crossed = (a_up & ~b_up & (at_reference < 0) & (at_point > 0)) | (b_up & ~a_up & (at_reference > 0) & (at_point < 0))
    return crossed.sum(axis=1) % 2 == 1


def seen_from_centre(star, points):
    """Whether points lie in the star: in each sector, on the centre's side of the one edge. NaN where rounding decides."""
    frame, azimuth, _, xyz, _ = star
    local = points @ frame.T
    turn = np.mod(np.arctan2(-local[:, 0], local[:, 1]) - azimuth[0], 2 * np.pi)
    sector = np.searchsorted(np.mod(azimuth - azimuth[0], 2 * np.pi), turn, side="right") - 1
    a, b = xyz[sector], np.roll(xyz, -1, axis=0)[sector]
    normal = np.cross(a - b, a + b)
    height = np.einsum("ij,ij->i", normal / np.linalg.norm(normal, axis=1, keepdims=True), points)
    return np.where(np.abs(height) < 1e-11, np.nan, height > 0)


@given(stars(), st.integers(0, 10**6))
@settings(max_examples=120, deadline=None)
def test_star_shaped_polygons(star, seed):
    frame, _, scale, xyz, clockwise = star
    polygon = polygon_of(xyz, clockwise=clockwise)
    rng = np.random.default_rng(seed)
    near = offset(frame, rng.uniform(0, 2 * np.pi, 400), np.minimum(scale * rng.uniform(0, 1.1, 400), np.pi))
    far = unit_vectors(rng.uniform(0, 360, 100), np.degrees(np.arcsin(rng.uniform(-1, 1, 100))))
    special = np.vstack((frame, -frame, -xyz, -(xyz + np.roll(xyz, 1, axis=0)), polygon.exterior))
    if scale <= 1:
        special = np.vstack((special, -polygon.exterior))
    points = np.vstack((near, far, special / np.linalg.norm(special, axis=1, keepdims=True)))
    expected = seen_from_centre(star, points)
    centre_inside = bool(polygon.contains_xyz(frame[2:])[0])
    assert centre_inside or scale > 1
    expected = expected if centre_inside else 1 - expected
    sure = np.isfinite(expected)
    inside = polygon.contains_xyz(points)
    np.testing.assert_array_equal(inside[sure], expected[sure].astype(bool))
    np.testing.assert_array_equal(crossing_rule(polygon, points)[sure], expected[sure].astype(bool))
    missed = inside & ~polygon.ranges().contains(pixel_of(*positions(points)))
    assert not missed.any()


@given(stars())
@settings(max_examples=100, deadline=None)
def test_smaller_region_edges_and_reference(star):
    polygon = polygon_of(star[3], clockwise=star[4])
    a, b = polygon.vertices_xyz, np.roll(polygon.vertices_xyz, -1, axis=0)
    assert 0 < polygon.area_sr <= 2 * np.pi
    assert polygon.contains_xyz(a).all()
    assert polygon.contains_xyz((a + b) / np.linalg.norm(a + b, axis=1, keepdims=True)).all()
    assert not polygon.contains_xyz(polygon.exterior[np.newaxis])[0]
    same = Polygon(polygon.vertices[::-1])
    if polygon.area_sr < 6:
        assert same.vertices == polygon.vertices


@given(stars(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_share_of_random_points_is_the_area(star, seed):
    if star[2] < 0.3:
        return
    polygon = polygon_of(star[3])
    rng = np.random.default_rng(seed)
    inside = polygon.contains(rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000))))
    assert inside.mean() == pytest.approx(polygon.area_sr / (4 * np.pi), abs=0.045)


@given(stars(), st.floats(0.01, 1.0), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_margin(star, margin_in_scale, seed):
    frame, _, scale, xyz, _ = star
    polygon, margin = polygon_of(xyz), margin_in_scale * scale
    rng = np.random.default_rng(seed)
    inside = offset(frame, rng.uniform(0, 2 * np.pi, 50), scale * rng.uniform(0, 1, 50))
    inside = inside[polygon.contains_xyz(inside)]
    ra, dec = positions(inside)
    moved = np.vstack(
        [offset(basis(*at), rng.uniform(0, 6.3, 8), min(margin * 0.999, 3)) for at in zip(ra, dec, strict=True)] or [inside]
    )
    assert polygon.ranges(float(np.degrees(margin))).contains(pixel_of(*positions(moved))).all()


SPIRAL = np.array([(0, 0), (5, 0), (5, 5), (1, 5), (1, 2), (3, 2), (3, 3), (2, 3), (2, 4), (4, 4), (4, 1), (0, 1)], dtype=float)
"""On a plane; no point sees all of it. The last corners make a corridor of width 1 that winds inwards."""


def in_plane(vertices, x, y):
    """Even-odd rule on a plane."""
    inside = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        straddles = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= straddles & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 2.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (10.0, 90.0), (359.99, -89.99), (200.0, 41.8)])
def test_concave_polygon_is_the_planar_one_in_gnomonic_projection(ra, dec, scale):
    frame = basis(ra, dec)
    project = lambda plane: np.column_stack((scale * (plane - 2.5), np.ones(len(plane)))) @ frame  # noqa: E731 (used twice below)
    to_sphere = lambda plane: project(plane) / np.linalg.norm(project(plane), axis=1, keepdims=True)  # noqa: E731 (as above)
    polygon = polygon_of(to_sphere(SPIRAL))
    plane = np.random.default_rng(5).uniform(-0.5, 5.5, (3000, 2))
    np.testing.assert_array_equal(polygon.contains_xyz(to_sphere(plane)), in_plane(SPIRAL, *plane.T))


@pytest.mark.parametrize("scale_deg", [0.1, 3.0, 30.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 5.0), (120.0, 42.0), (33.0, 80.0)])
def test_cover_agrees_with_mocpy(ra, dec, scale_deg):
    order = {0.1: 14, 3.0: 9, 30.0: 6}[scale_deg]
    lon, lat = positions(
        offset(basis(ra, dec), np.array([0.1, 1.5, 3.0, 4.4]), np.radians(scale_deg) * np.array([1, 0.8, 1.0, 0.9]))
    )
    moc = MOC.from_polygon_skycoord(SkyCoord(lon * u.deg, lat * u.deg), max_depth=order)
    polygon = Polygon(list(zip(lon, lat, strict=True)))
    theirs = moc.flatten().astype(np.int64)
    centre_inside = polygon.contains(*pixel_centre(order, theirs))
    assert centre_inside.mean() > 0.85
    assert polygon.ranges().contains(pixel_of(*pixel_centre(order, theirs[centre_inside]))).all()
    assert polygon.ranges().area_deg2 == pytest.approx(polygon.area_sr * (180 / np.pi) ** 2, rel=0.35)
    assert polygon.ranges().area_deg2 > polygon.area_sr * (180 / np.pi) ** 2


@pytest.mark.parametrize(
    ("vertices", "reason"),
    [
        ([(0, 0), (1, 1)], "at least 3"),
        ([(0, 0), (1, 1), (360, 0)], "at least 3"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], "cross or touch"),
        ([(0, 0), (1, 0), (1, 0), (0, 1)], "no distance"),
        ([(0, 0), (180, 0), (90, 45)], "antipodes"),
        ([(0, 0), (10, 0), (5, 0)], "cross or touch"),
        ([(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)], "cross or touch"),
        ([(0, 0), (10, 0), (10, 10), (10, 5)], "cross or touch"),
        ([(0, 0), (10, 0), (10, 91)], "outside -90 to 90"),
        ([(0, 0), (10, 0), (np.nan, 1)], "not finite"),
        ([(0, 0), (0, np.inf), (1, 1)], "not finite"),
    ],
)
def test_chains_that_bound_no_region(vertices, reason):
    with pytest.raises(QueryValueError, match=reason):
        Polygon(vertices)


def test_a_closing_vertex_is_left_out_and_winding_is_counter_clockwise():
    polygon = Polygon([(0, 0), (0, 1), (1, 1), (1, 0), (360, 0)])
    assert polygon.vertices == ((1, 0), (1, 1), (0, 1), (0, 0))
    assert Polygon([(1, 0), (1, 1), (0, 1), (0, 0)]).vertices == polygon.vertices


def test_hemisphere_and_points_on_a_straight_chain():
    northern = Polygon([(0, 0), (90, 0), (180, 0), (270, 0)])
    assert northern.area_sr == pytest.approx(2 * np.pi)
    inside = northern.contains([10, 200, 10, 200], [1, 89, -1, -89])
    assert inside.tolist() in ([True, True, False, False], [False, False, True, True])
    assert northern.contains([5, 95, 300], 0).all()
    straight = Polygon([(0, 0), (1, 0), (2, 0), (2, 2)])
    assert straight.contains(1.5, 0.0)
    assert not straight.contains(1.5, -1e-9)


@given(st.floats(0, 360), st.floats(-90, 90), st.floats(1e-6, 179), st.floats(1e-6, 179))
@settings(max_examples=100, deadline=None)
def test_adql_box_sides_meet_the_ends_of_its_arms_at_right_angles(ra, dec, width, height):
    box = adql_box(ra, dec, width, height)
    sides = ArcChain(box.vertices_xyz)
    frame = basis(ra, dec)
    north_arm = positions(offset(frame, np.array([0.0, np.pi]), np.radians(height / 2)))
    east_arm = positions(offset(frame, np.array([np.pi / 2, -np.pi / 2]), np.radians(width / 2)))
    assert box.contains(ra, dec)
    for arm, size in ((north_arm, height), (east_arm, width)):
        assert angular_separation_deg(ra, dec, *arm) == pytest.approx(size / 2)
        assert (sides.nearest_rad(unit_vectors(*arm)) < 1e-9).all()
    # A right angle: the arm's end is where the side comes nearest to the centre.
    nearest = np.degrees(sides.nearest_rad(frame[2:])[0])
    assert nearest == pytest.approx(min(width, height) / 2, rel=1e-6)


def test_adql_box_is_no_longitude_latitude_box():
    box = adql_box(180, 60, 60, 2)
    assert box.contains(180, 60.9)
    assert not box.contains([150, 210], 60.0).any()
    assert adql_box(0, 90, 2, 2).contains([0, 90, 45], [89.01, 89.01, 88.7]).all()


def test_area_of_a_polygon_smaller_than_the_rounding_of_angles():
    """Three points within 1e-7 rad of the pole, in either winding; the plane is as good there."""
    vertices = (
        (4.045431303888426, 89.99999852315412),
        (141.34491333726479, 89.99999770087395),
        (257.24178346057954, 89.99999831474696),
    )
    ra, distance = np.radians([vertex[0] for vertex in vertices]), np.radians([90 - vertex[1] for vertex in vertices])
    x, y = distance * np.cos(ra), distance * np.sin(ra)
    plane = abs((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])) / 2
    for polygon in (Polygon(vertices), Polygon(vertices[::-1])):
        assert polygon.area_sr == pytest.approx(plane, rel=1e-6)

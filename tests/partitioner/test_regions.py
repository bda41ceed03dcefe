"""Regions: exact tests against formulas and tools that are not ours, covers against the exact tests."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mocpy import MOC

from partitioner.healpix import pixel_centre, pixel_of
from partitioner.ranges import EMPTY, WHOLE_SKY
from partitioner.regions import Circle, Ellipse, LonLatBox, Region, adql_box
from partitioner.sphere import angular_separation_deg, positions, unit_vectors
from qserv.errors import QueryValueError

longitudes = st.one_of(st.sampled_from([0.0, 360.0, 359.9999999, 45.0, -0.0, -1e-300]), st.floats(-360, 720))
latitudes = st.one_of(st.sampled_from([0.0, 90.0, -90.0, 89.999999, 41.81031489577862]), st.floats(-90, 90))


def around(ra, dec, radius_deg, count, seed):
    """Positions spread over a circle of this radius, thicker near its middle."""
    rng = np.random.default_rng(seed)
    distance = np.radians(min(radius_deg, 180.0)) * rng.uniform(0, 1, count) ** 0.6
    angle = rng.uniform(0, 2 * np.pi, count)
    lon, lat = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    aside = np.cos(angle)[:, np.newaxis] * north + np.sin(angle)[:, np.newaxis] * east
    return positions(np.cos(distance)[:, np.newaxis] * unit_vectors(ra, dec) + np.sin(distance)[:, np.newaxis] * aside)


def assert_covers(region: Region, points, margin_deg=0.0, near=None):
    """The cover holds every point that the region contains, or that ``near`` says is within the margin."""
    ra, dec = points
    expected = region.contains(ra, dec) if near is None else near
    missed = expected & ~region.ranges(margin_deg).contains(pixel_of(ra, dec))
    assert not missed.any(), f"{region} misses {ra[missed][:3]}, {dec[missed][:3]}"


@given(longitudes, latitudes, st.floats(-10, 2.255), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_circle_cover_holds_the_circle(ra, dec, log_radius, seed):
    circle = Circle(ra, dec, 10**log_radius)
    assert_covers(circle, around(ra, dec, 1.2 * 10**log_radius, 500, seed))


@given(longitudes, latitudes, st.floats(100, 180), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_large_circle_cover_holds_the_edge(ra, dec, radius, seed):
    """hpgeom alone misses some of these."""
    lon, lat = around(ra + 180, -dec, 1.5 * (180.0001 - radius), 2000, seed)
    assert_covers(Circle(ra, dec, radius), (lon, lat))


@given(longitudes, latitudes, st.floats(-4, 1), st.floats(-4, 1), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_circle_margin(ra, dec, log_radius, log_margin, seed):
    radius, margin = 10**log_radius, 10**log_margin
    lon, lat = around(ra, dec, 1.2 * (radius + margin), 500, seed)
    near = angular_separation_deg(ra, dec, lon, lat) <= radius + margin
    assert_covers(Circle(ra, dec, radius), (lon, lat), margin, near)


@pytest.mark.parametrize("radius_deg", [2e-4, 0.01, 0.1, 1.0, 10.0, 60.0, 90.0, 150.0, 179.0])
def test_circle_cover_is_tight_and_small(radius_deg):
    area = 2 * np.pi * (1 - np.cos(np.radians(radius_deg))) * (180 / np.pi) ** 2
    for ra, dec in ((0.0, 0.0), (120.0, 41.8), (10.0, -89.99), (3.0, 90.0)):
        cover = Circle(ra, dec, radius_deg).ranges()
        assert 1 <= cover.area_deg2 / area < 1.4
        assert len(cover) < 120


def test_circle_edges():
    assert Circle(10, 20, 0).contains(370.0, 20.0)
    assert Circle(10, 20, 180).contains([190.0, 0.0], [-20.0, 90.0]).all()
    assert Circle(10, 20, 180).ranges() == WHOLE_SKY
    assert Circle(0, 0, 1).contains([0, 0, 1, 359], [1, -1, 0, 0]).all()
    assert not Circle(0, 0, 1).contains([0, 1.0000000001, np.nan], [1.0000000001, 0, 0]).any()
    assert Circle(0.0, 90.0, 1.0).contains([0, 90, 123.4], [89, 89, 89]).all()


def test_every_edge_of_a_circle_of_whole_degrees_belongs_to_it():
    radius = np.arange(1, 90)
    for dec in (-90, -45, 0):
        assert all(Circle(77, dec, r).contains(77, dec + r) for r in radius.tolist())
    assert all(Circle(77, 0, r).contains(77 + r, 0) for r in radius.tolist())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Circle(0, 0, 200),
        lambda: Circle(0, 0, -1e-9),
        lambda: Circle(0, 0, np.nan),
        lambda: Circle(np.inf, 0, 1),
        lambda: Circle(0, 90.0001, 1),
        lambda: LonLatBox(0, -91, 1, 1),
        lambda: LonLatBox(0, 0, np.nan, 1),
        lambda: Ellipse(0, 0, 1, 2, 0),
        lambda: Ellipse(0, 0, 11, 2, 0),
        lambda: Ellipse(0, 0, 1, 0, 0),
        lambda: Ellipse(0, 0, 1, 1, np.inf),
        lambda: adql_box(0, 0, 180, 1),
        lambda: adql_box(0, 0, 1, 0),
        lambda: Circle(0, 0, 1).ranges(-1.0),
        lambda: Circle(0, 0, 1).ranges(np.nan),
    ],
)
def test_values_out_of_range(wrong):
    with pytest.raises(QueryValueError):
        wrong()


boxes = st.builds(
    lambda lon, extent, lat, height: LonLatBox(lon, lat, lon + extent, min(lat + height, 90.0)),
    longitudes,
    st.one_of(st.floats(0, 400), st.floats(0, 1)),
    latitudes,
    st.one_of(st.floats(0, 180), st.floats(0, 1)),
)


def in_box(box, count, seed):
    """Positions in a box, its edges and corners among them, and some outside."""
    rng = np.random.default_rng(seed)
    lon = box.lon_min + box.extent_deg * np.concatenate((rng.uniform(-0.1, 1.1, count), rng.choice([0.0, 1.0], 20)))
    lat = box.lat_min + (box.lat_max - box.lat_min) * np.concatenate((rng.uniform(0, 1, count), rng.choice([0.0, 1.0], 20)))
    return lon, np.clip(lat, -90, 90)


@given(boxes, st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_box_cover_holds_the_box(box, seed):
    assert_covers(box, in_box(box, 500, seed))


@given(boxes, st.floats(-3, 1), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_box_margin(box, log_margin, seed):
    ra, dec = in_box(box, 200, seed)
    inside = box.contains(ra, dec)
    assume(inside.any())
    rng = np.random.default_rng(seed)
    step = unit_vectors(rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200))))
    moved = unit_vectors(ra[inside][:200], dec[inside][:200]) + np.radians(10**log_margin) * 0.99 * step[: inside[:220].sum()][:200]
    lon, lat = positions(moved)
    within = angular_separation_deg(lon, lat, ra[inside][:200], dec[inside][:200]) <= 10**log_margin
    assert_covers(box, (lon, lat), 10**log_margin, within)


def test_box_wraps_and_reduces():
    box = LonLatBox(359, -1, 1, 1)
    assert box.contains([359, 0, 360, 1, -0.5, 720.5], [0, 0, 0, 1, -1, 0]).all()
    assert not box.contains([358.9, 1.1, 180], [0, 0, 0]).any()
    assert LonLatBox(350, 0, 370, 1).contains([355, 5, 10], 0.5).all()
    assert LonLatBox(0, 0, 360, 1).contains([0, 180, 359.99], 0.5).all()
    assert not LonLatBox(0, 0, 360, 1).contains(np.nan, 0.5)
    assert LonLatBox(0, 2, 10, 1).ranges() == EMPTY
    assert LonLatBox(0, -90, 360, 90).ranges() == WHOLE_SKY


@pytest.mark.parametrize(
    ("box", "excess"), [((359, -1, 1, 1), 1.3), ((10, 60, 40, 70), 1.3), ((0, 80, 360, 90), 1.3), ((0, -90, 90, 0), 1.3)]
)
def test_box_cover_is_tight(box, excess):
    lon_min, lat_min, lon_max, lat_max = box
    width = np.radians((lon_max - lon_min) % 360 or 360)
    area = width * (np.sin(np.radians(lat_max)) - np.sin(np.radians(lat_min))) * (180 / np.pi) ** 2
    assert 1 <= LonLatBox(*box).ranges().area_deg2 / area < excess


ellipses = st.builds(
    lambda ra, dec, log_a, ratio, angle: Ellipse(ra, dec, 10**log_a, 10**log_a * ratio, angle),
    longitudes,
    latitudes,
    st.floats(-5, 1),
    st.floats(0.03, 1),
    st.floats(-180, 360),
)


@given(ellipses, st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_ellipse_cover_holds_the_ellipse_and_is_tight(ellipse, seed):
    assert_covers(ellipse, around(ellipse.ra, ellipse.dec, 1.1 * ellipse.semi_major_deg, 500, seed))
    area = np.pi * ellipse.semi_major_deg * ellipse.semi_minor_deg
    assert ellipse.ranges().area_deg2 < 2 * area


def test_ellipse_lies_along_its_position_angle():
    towards_east_of_north = Ellipse(0, 0, 2, 1, 45)
    assert towards_east_of_north.contains(1.3, 1.3)
    assert not towards_east_of_north.contains([358.7, 181.0, 180.0], [1.3, 1.0, 0.0]).any()
    north = Ellipse(30, 60, 2, 1, 0)
    assert north.contains([30, 30], [61.9, 58.1]).all()
    assert not north.contains([30, 33], [62.1, 60]).any()


@given(ellipses, st.floats(0, 360), st.floats(0, 0.999), st.floats(0.01, 2), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_ellipse_margin(ellipse, angle, part, margin_in_axes, seed):
    lon, lat = around(ellipse.ra, ellipse.dec, ellipse.semi_major_deg, 300, seed)
    inside = ellipse.contains(lon, lat)
    assume(inside.any())
    margin = margin_in_axes * ellipse.semi_major_deg
    ra, dec = float(lon[inside][0]), float(lat[inside][0])
    near_ra, near_dec = around(ra, dec, margin * 0.999, 300, int(angle) + int(part * 100))
    assert_covers(ellipse, (near_ra, near_dec), margin, np.ones(300, dtype=bool))


@pytest.mark.parametrize("radius_deg", [0.1, 5.0, 60.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.95, 41.8), (77.0, 89.95)])
def test_cover_of_a_cone_holds_that_of_mocpy(ra, dec, radius_deg):
    order = {0.1: 14, 5.0: 9, 60.0: 6}[radius_deg]
    centres = MOC.from_cone(
        lon=Longitude(ra * u.deg), lat=Latitude(dec * u.deg), radius=radius_deg * u.deg, max_depth=order
    ).flatten()
    lon, lat = pixel_centre(order, centres.astype(np.int64))
    inside = angular_separation_deg(ra, dec, lon, lat) <= radius_deg
    assert inside.mean() > 0.9
    assert Circle(ra, dec, radius_deg).ranges().contains(pixel_of(lon[inside], lat[inside])).all()
    ours = Circle(ra, dec, radius_deg).ranges()
    assert ours.area_deg2 == pytest.approx(len(centres) * 129600 / np.pi / (12 * 4**order), rel=0.25)

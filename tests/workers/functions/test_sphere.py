"""Spherical functions against numpy, astropy and the regions of the partitioner."""

import numpy as np
import pytest
from astropy.coordinates import angular_separation

from partitioner.regions import Circle, Ellipse, LonLatBox, Polygon

SEED = 20260725


@pytest.fixture
def sky():
    """Random positions, and the awkward ones: poles, longitude 0 and 360, antipodes."""
    rng = np.random.default_rng(SEED)
    ra = np.concatenate([rng.uniform(0, 360, 2000), [0, 0, 360, 359.9999999, 180, 90, 123.4, 303.4]])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 2000))), [90, -90, 0, 0, 0, 89.9999999, 12.3, -12.3]])
    return ra, dec


def test_angular_separation_agrees_with_astropy(evaluate, sky):
    ra, dec = sky
    rng = np.random.default_rng(SEED)
    ra2, dec2 = rng.permutation(ra), rng.permutation(dec)
    got = evaluate("qserv.angular_separation(a, b, c, d)", a=ra, b=dec, c=ra2, d=dec2)
    expected = np.degrees(angular_separation(*np.radians([ra, dec, ra2, dec2])))
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)
    assert evaluate("qserv.scisql_angSep(a, b, c, d)", a=ra, b=dec, c=ra2, d=dec2) == got


@pytest.mark.parametrize("separation", [1e-12, 1e-9, 1e-4, 1.0, 90.0, 179.0, 179.9999, 179.9999999999])
def test_angular_separation_keeps_its_digits(scalar, separation):
    along_equator = scalar(f"qserv.angular_separation(0, 0, {separation!r}, 0)")
    assert along_equator == pytest.approx(separation, rel=1e-14)
    along_meridian = scalar(f"qserv.angular_separation(10, {separation / 2!r}, 10, {-separation / 2!r})")
    assert along_meridian == pytest.approx(separation, rel=1e-14)


def test_the_separation_of_a_position_from_itself_is_zero_and_from_its_antipode_180(evaluate, sky):
    ra, dec = sky
    assert set(evaluate("qserv.angular_separation(a, b, a, b)", a=ra, b=dec)) == {0.0}
    assert evaluate("qserv.angular_separation(a, b, a + 180, -b)", a=ra, b=dec) == pytest.approx([180.0] * len(ra), abs=1e-6)


@pytest.mark.parametrize(
    "circle",
    [
        (100.0, 20.0, 5.0),
        (0.0, 0.0, 1.0),
        (359.9, -0.1, 10.0),
        (12.0, 90.0, 30.0),
        (200.0, -89.9, 0.5),
        (50.0, 10.0, 90.0),
        (50.0, 10.0, 90.0000001),
        (50.0, 10.0, 120.0),
        (123.4, 12.3, 179.9999999),
        (123.4, 12.3, 180.0),
        (123.4, 12.3, 0.0),
    ],
)
def test_in_circle_agrees_with_the_partitioner(evaluate, sky, circle):
    ra, dec = sky
    ra0, dec0, radius = circle
    # Positions on the edge, and a little inside and outside of it.
    edge_ra, edge_dec = offset(ra0, dec0, np.tile(radius, 300), np.linspace(0, 360, 300))
    near_ra, near_dec = offset(ra0, dec0, np.clip(radius + np.tile([-1e-9, 1e-9], 150), 0, 180), np.linspace(0, 360, 300))
    ra, dec = np.concatenate([ra, edge_ra, near_ra]), np.concatenate([dec, edge_dec, near_dec])
    got = evaluate(f"qserv.in_circle(a, b, {ra0}, {dec0}, {radius})", a=ra, b=dec)
    expected = Circle(*circle).contains(ra, dec).tolist()
    assert got == expected
    assert all(got[2008:2308])
    as_column = evaluate(f"qserv.in_circle(a, b, {ra0}, {dec0}, c)", a=ra, b=dec, c=np.full(len(ra), radius))
    assert as_column == expected
    assert evaluate(f"qserv.scisql_s2PtInCircle(a, b, {ra0}, {dec0}, {radius})", a=ra, b=dec) == [int(value) for value in expected]


@pytest.mark.parametrize(
    "box",
    [
        (10, -10, 20, 10),
        (350, -10, 10, 20),
        (-10, -10, 10, 20),
        (350, -90, 370, 90),
        (0, -90, 360, 90),
        (0, 5, 0, 10),
        (720, 0, 730, 1),
        (100, 20, 100.5, 10),
        (200, -90, 100, 90),
        (0, 0, 359.9999999, 0),
    ],
)
def test_in_lonlat_box_agrees_with_the_partitioner(evaluate, sky, box):
    ra, dec = sky
    corners = np.array([(box[0], box[1]), (box[2], box[3]), (box[0] % 360, box[3]), (box[2] % 360, box[1])])
    ra, dec = np.concatenate([ra, corners[:, 0]]), np.concatenate([dec, corners[:, 1]])
    arguments = ", ".join(map(str, box))
    got = evaluate(f"qserv.in_lonlat_box(a, b, {arguments})", a=ra, b=dec)
    assert got == LonLatBox(*map(float, box)).contains(ra, dec).tolist()
    assert evaluate(f"qserv.scisql_s2PtInBox(a, b, {arguments})", a=ra, b=dec) == [int(value) for value in got]


@pytest.mark.parametrize("ellipse", [(100.0, 20.0, 9.0, 4.0, 30.0), (0.0, 0.0, 3.0, 3.0, 0.0), (10.0, 89.0, 10.0, 0.5, 120.0)])
def test_in_ellipse_agrees_with_the_partitioner(evaluate, ellipse):
    ra0, dec0, major, minor, angle = ellipse
    rng = np.random.default_rng(SEED)
    ra, dec = offset(ra0, dec0, rng.uniform(0, 12, 5000), rng.uniform(0, 360, 5000))
    ra, dec = np.concatenate([ra, (ra + 180) % 360]), np.concatenate([dec, -dec])
    got = evaluate(f"qserv.in_ellipse(a, b, {ra0}, {dec0}, {major}, {minor}, {angle})", a=ra, b=dec)
    expected = Ellipse(*ellipse).contains(ra, dec)
    assert got == expected.tolist()
    assert 50 < expected.sum() < 5000
    arcsec = f"qserv.scisql_s2PtInEllipse(a, b, {ra0}, {dec0}, {major * 3600}, {minor * 3600}, {angle})"
    assert evaluate(arcsec, a=ra, b=dec) == [int(value) for value in got]


def test_position_angles_run_from_north_towards_east(scalar):
    assert scalar("qserv.in_ellipse(0, 1.9, 0, 0, 2, 1, 0)")
    assert not scalar("qserv.in_ellipse(1.9, 0, 0, 0, 2, 1, 0)")
    assert scalar("qserv.in_ellipse(1.2, 1.2, 0, 0, 2, 1, 45)")
    assert not scalar("qserv.in_ellipse(-1.2, 1.2, 0, 0, 2, 1, 45)")


POLYGONS = {
    "triangle": [(10, 10), (40, 12), (25, 40)],
    "concave": [(10, 10), (40, 12), (42, 50), (25, 20), (8, 45)],
    "clockwise": [(8, 45), (25, 20), (42, 50), (40, 12), (10, 10)],
    "through longitude 0": [(350, -5), (10, -6), (12, 8), (352, 7)],
    "around the pole": [(0, 80), (90, 70), (180, 82), (270, 75)],
    "vertex at the pole": [(0, 90), (10, 60), (60, 65)],
    "nearly half the sky": [(0, 1), (90, 1), (180, 1), (270, 1)],
    "tiny": [(150, 2), (150.0001, 2), (150.0001, 2.0001), (150, 2.0001)],
}


@pytest.mark.parametrize("vertices", POLYGONS.values(), ids=POLYGONS)
def test_in_polygon_agrees_with_the_partitioner(evaluate, sky, vertices):
    polygon = Polygon(vertices)
    rng = np.random.default_rng(SEED)
    corners = np.array(vertices, dtype=float)
    near = corners[rng.integers(len(corners), size=1000)] + rng.normal(scale=np.ptp(corners[:, 1]) / 2, size=(1000, 2))
    middles = edge_points(polygon, rng)
    ra = np.concatenate([sky[0], near[:, 0], corners[:, 0], middles[0]])
    dec = np.concatenate([sky[1], np.clip(near[:, 1], -90, 90), corners[:, 1], middles[1]])
    got = evaluate(in_polygon(polygon), a=ra, b=dec)
    expected = polygon.contains(ra, dec)
    assert got == expected.tolist()
    # Vertices and points of edges are in; and there is an inside and an outside.
    assert expected[3008:].all()
    assert 0 < expected[:3008].sum() < 3008


@pytest.mark.parametrize("name", ["triangle", "through longitude 0", "around the pole", "tiny"])
def test_scisql_polygons_are_the_same_where_convex_in_either_winding(evaluate, sky, name):
    polygon = Polygon(POLYGONS[name])
    rng = np.random.default_rng(SEED)
    corners = np.array(POLYGONS[name], dtype=float)
    near = corners[rng.integers(len(corners), size=1000)] + rng.normal(scale=np.ptp(corners[:, 1]) / 2, size=(1000, 2))
    ra = np.concatenate([sky[0], near[:, 0], corners[:, 0]])
    dec = np.concatenate([sky[1], np.clip(near[:, 1], -90, 90), corners[:, 1]])
    expected = [int(value) for value in polygon.contains(ra, dec)]
    for vertices in (POLYGONS[name], POLYGONS[name][::-1]):
        arguments = ", ".join(f"{lon}, {lat}" for lon, lat in vertices)
        assert evaluate(f"qserv.scisql_s2PtInCPoly(a, b, {arguments})", a=ra, b=dec) == expected


def test_scisql_polygons_that_are_none_give_null(scalar):
    assert scalar("qserv.scisql_s2PtInCPoly(1, 1, 0, 0, 2, 0)") is None
    assert scalar("qserv.scisql_s2PtInCPoly(1, 1, 0, 0, 2, 0, 2)") is None
    concave = ", ".join(f"{lon}, {lat}" for lon, lat in POLYGONS["concave"])
    assert scalar(f"qserv.scisql_s2PtInCPoly(1, 1, {concave})") is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("qserv.angular_separation(NULL, 0, 0, 0)", None),
        ("qserv.in_circle(NULL, NULL, 0, 0, 180)", None),
        ("qserv.in_circle(0, 0, 0, 0, NULL)", None),
        ("qserv.in_circle(0, 0, 0, 0, -1)", None),
        ("qserv.in_circle(0, 0, 0, 0, 180.1)", None),
        ("qserv.in_circle(0, 0, 0, 0, 'NaN')", None),
        ("qserv.in_circle('NaN', 0, 0, 0, 1)", False),
        ("qserv.in_lonlat_box(NULL, 0, 0, -1, 360, 1)", None),
        ("qserv.in_lonlat_box(0, NULL, 0, -1, 360, 1)", None),
        ("qserv.in_ellipse(NULL, 0, 0, 0, 1, 1, 0)", None),
        ("qserv.in_ellipse(0, 0, 0, 0, 1, 2, 0)", None),
        ("qserv.in_ellipse(0, 0, 0, 0, 1, 0, 0)", None),
        ("qserv.in_polygon(NULL, 0, '{1,0,0,0,1,0,0,0,1}', '{-1,-1,-1}')", None),
        ("qserv.scisql_angSep(NULL, 0, 0, 0)", None),
        ("qserv.scisql_s2PtInCircle(NULL, 0, 0, 0, 1)", 0),
        ("qserv.scisql_s2PtInCircle(0, 0, 0, 0, NULL)", 0),
        ("qserv.scisql_s2PtInCircle(0, 0, 0, 0, 181)", None),
        ("qserv.scisql_s2PtInBox(NULL, 0, 0, -1, 360, 1)", 0),
        ("qserv.scisql_s2PtInEllipse(0, NULL, 0, 0, 10, 5, 90)", 0),
        ("qserv.scisql_s2PtInEllipse(0, 0, 0, 0, 5, 10, 90)", None),
        ("qserv.scisql_s2PtInCPoly(NULL, 1, 0, 0, 2, 0, 2, 2)", 0),
        ("qserv.scisql_s2PtInCPoly(1, 1, 0, 0, 2, 0, NULL, 2)", 0),
    ],
)
def test_null_and_wrong_arguments(scalar, expression, expected):
    assert scalar(expression) is expected or scalar(expression) == expected is not None


def offset(ra0, dec0, distance, bearing):
    """Return positions at distances and bearings (deg, from north towards east) from one position."""
    lat, d, b = np.radians(dec0), np.radians(distance), np.radians(bearing)
    dec = np.arcsin(np.clip(np.sin(lat) * np.cos(d) + np.cos(lat) * np.sin(d) * np.cos(b), -1, 1))
    x = np.cos(d) * np.cos(lat) - np.sin(d) * np.cos(b) * np.sin(lat)
    y = np.sin(d) * np.sin(b)
    return np.mod(ra0 + np.degrees(np.arctan2(y, x)), 360), np.degrees(np.arctan2(np.sin(dec), np.hypot(x, y)))


def in_polygon(polygon):
    """Return the SQL that asks for a polygon of the partitioner."""
    arrays = [np.asarray(part).ravel().tolist() for part in (polygon.vertices_xyz, polygon.exterior)]
    vertices, exterior = ("ARRAY[" + ", ".join(map(repr, array)) + "]::float8[]" for array in arrays)
    return f"qserv.in_polygon(a, b, {vertices}, {exterior})"


def edge_points(polygon, rng, count=100):
    """Return positions on the edges of a polygon."""
    start = polygon.vertices_xyz
    end = np.roll(start, -1, axis=0)
    edge = rng.integers(len(start), size=count)
    part = rng.uniform(0.01, 0.99, (count, 1))
    x, y, z = ((1 - part) * start[edge] + part * end[edge]).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))

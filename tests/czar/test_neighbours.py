"""Near neighbours by cells are the pairs of comparing all with all, where cells, zones, pixels, poles and longitude 0 meet."""

from dataclasses import replace

import healpy
import numpy as np
import psycopg
import pytest

from czar.plan.neighbours import SIZES, Grid, Side, Within, neighbours
from qserv.cluster import NODE_DATABASE, Role
from workers.functions import install

SEED = 20260725
RADII_DEG = [1e-9, 1e-6, 1 / 3600, 0.1, 3.0, 25.0, 90.0, 179.9, 180.0]
PAIRS = "SELECT o1.id, o2.id FROM {} ORDER BY 1, 2"
PLAIN = "place AS o1 JOIN place AS o2 ON qserv.angular_separation(o1.ra, o1.dec, o2.ra, o2.dec) {} {!r}"


@pytest.fixture(scope="module")
def node(postgres_cluster):
    """A session that may make temporary tables."""
    address = postgres_cluster.cluster.nodes[0].postgres
    with psycopg.connect(address.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as session:
        install(session)
        yield session


def sides(relation="place"):
    return Side(relation, "o1", '"o1".ra', '"o1".dec'), Side(relation, "o2", '"o2".ra', '"o2".dec')


def fill(node, ra, dec):
    node.execute("DROP TABLE IF EXISTS place")
    node.execute("CREATE TEMPORARY TABLE place (id bigint, ra float8, dec float8)")
    with node.cursor().copy("COPY place FROM STDIN") as copy:
        for row in zip(range(len(ra)), ra, dec, strict=True):
            copy.write_row(row)
    node.execute("ANALYZE place")


def moved(ra, dec, distance_deg, bearing):
    """Return positions at distances and bearings (radians, from north towards east) from others."""
    lat, d = np.radians(dec), np.radians(distance_deg)
    sin_dec = np.sin(lat) * np.cos(d) + np.cos(lat) * np.sin(d) * np.cos(bearing)
    x = np.cos(d) * np.cos(lat) - np.sin(d) * np.cos(bearing) * np.sin(lat)
    y = np.sin(d) * np.sin(bearing)
    return np.mod(ra + np.degrees(np.arctan2(y, x)), 360), np.degrees(np.arctan2(sin_dec, np.hypot(x, y)))


def awkward(radius_deg, rng):
    """Return positions on edges and corners of pixels, between zones, at poles and at longitude 0; others at the same place, and
    just inside and outside of the radius from each.
    """
    corners = healpy.boundaries(4, [0, 77, 191], step=2, nest=True).transpose(0, 2, 1).reshape(-1, 3)
    lon, lat = np.degrees(np.arctan2(corners[:, 1], corners[:, 0])) % 360, np.degrees(np.arcsin(corners[:, 2]))
    height = Grid.of(radius_deg, 1e5).height_deg
    zones = np.array([-1, 0, 1, 2, 3]) * height
    zones = zones[abs(zones) <= 90]
    special = [0, 0, 180, 0, 359.99999999999994, 360 - radius_deg / 2, 1e-12, 120, 300]
    ra = np.concatenate([lon, special, rng.uniform(0, 360, len(zones))])
    dec = np.concatenate([lat, [90, -90, 90, 0, 0, 89.9, -89.9999999, 90 - radius_deg / 2, -90 + radius_deg / 3], zones])
    dec = np.clip(dec, -90, 90)
    factors = np.array([0, 0.3, 1 - 1e-9, 1, 1 + 1e-9, 1.5])
    ra, dec = np.repeat(ra, len(factors)), np.repeat(dec, len(factors))
    distance = np.clip(radius_deg * np.tile(factors, len(ra) // len(factors)), 0, 180)
    near_ra, near_dec = moved(ra, dec, distance, rng.uniform(0, 2 * np.pi, len(ra)))
    return np.concatenate([ra[::6], near_ra]) % 360, np.concatenate([dec[::6], near_dec])


@pytest.mark.parametrize("radius", RADII_DEG)
def test_pairs_are_those_of_all_with_all(node, radius):
    fill(node, *awkward(radius, np.random.default_rng(SEED)))
    for within in (Within.AT_MOST, Within.BELOW):
        expected = node.execute(PAIRS.format(PLAIN.format(within, radius))).fetchall()
        for density in (1.0, 1e5, 1e12):
            for copies_first in (False, True):
                join = neighbours(*sides(), radius, within, rows_a_deg2=density, copies_first=copies_first)
                assert node.execute(PAIRS.format(join.sql())).fetchall() == expected
    assert len(expected) > 100


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("centre", "spread"), [((0.0, 0.0), 1.0), ((10.0, 90.0), 1.0), ((200.0, -89.0), 2.0), ((0.0, 60.0), 30.0)])
def test_pairs_of_a_dense_field_for_every_size_of_cells(node, monkeypatch, size, centre, spread):
    monkeypatch.setattr("czar.plan.neighbours.SIZES", (size,))
    rng = np.random.default_rng(SEED)
    distance = spread * np.sqrt(rng.uniform(0, 1, 600))
    fill(node, *moved(np.full(600, centre[0]), np.full(600, centre[1]), distance, rng.uniform(0, 2 * np.pi, 600)))
    radius = spread / 12
    expected = node.execute(PAIRS.format(PLAIN.format("<=", radius))).fetchall()
    assert 1500 < len(expected) < 20_000
    assert node.execute(PAIRS.format(neighbours(*sides(), radius).sql())).fetchall() == expected


@pytest.mark.parametrize("radius", [1 / 3600, 0.5, 100.0])
def test_circles_are_those_of_in_circle(node, radius):
    fill(node, *awkward(radius, np.random.default_rng(SEED)))
    plain = f"place AS o1 JOIN place AS o2 ON qserv.in_circle(o1.ra, o1.dec, o2.ra, o2.dec, {radius!r})"
    expected = node.execute(PAIRS.format(plain)).fetchall()
    assert node.execute(PAIRS.format(neighbours(*sides(), radius, Within.IN_CIRCLE).sql())).fetchall() == expected


def test_rows_without_a_position_have_no_neighbours_and_stay_in_a_left_join(node):
    nan, inf = float("nan"), float("inf")
    ra = [10, 10, None, 10, nan, 10, inf, 10, 370, -350, 730]
    dec = [20, 20, 20, None, 20, nan, 20, 90.5, 20, 20, 20]
    fill(node, ra, dec)
    join = neighbours(*sides(), 0.001)
    together = [0, 1, 8, 9, 10]
    assert node.execute(PAIRS.format(join.sql())).fetchall() == [(one, two) for one in together for two in together]
    left = node.execute(PAIRS.format(join.sql("LEFT JOIN", '"o2".id = "o1".id + 1'))).fetchall()
    assert left == [(row, {0: 1, 8: 9, 9: 10}.get(row)) for row in range(11)]


def test_no_radius_below_zero_holds_a_pair_and_zero_holds_coincident_ones(node):
    fill(node, [0, 0, 1, 0], [0, 0, 0, 90])
    assert node.execute(PAIRS.format(neighbours(*sides(), -1.0).sql())).fetchall() == []
    assert node.execute(PAIRS.format(neighbours(*sides(), 0.0, Within.BELOW).sql())).fetchall() == []
    assert node.execute(PAIRS.format(neighbours(*sides(), 0.0).sql())).fetchall() == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_relations_may_be_queries_with_any_column_names_and_three_may_be_joined(node):
    fill(node, [10, 10.0001, 10.0003], [20, 20, 20])
    relation = '(SELECT id, ra AS "_lon", dec AS "_zone", id AS "_cell" FROM place)'
    one, two, three = (Side(relation, alias, f'"{alias}"."_lon"', f'"{alias}"."_zone"') for alias in ("a b", "o2", "o3"))
    first = neighbours(one, two, 0.00015)
    assert node.execute(f'SELECT "a b"."_cell", o2."_lon" FROM {first.sql()} ORDER BY 1, 2').fetchall() == [  # noqa: S608 (our own text)
        (0, 10),
        (0, 10.0001),
        (1, 10),
        (1, 10.0001),
        (2, 10.0003),
    ]
    second = neighbours(Side(first.second.rpartition(" AS ")[0], "o2", two.ra, two.dec), three, 0.00025, number=1)
    joined = replace(first, second=second.first).sql() + f" JOIN {second.second} ON {second.condition}"
    found = node.execute(f'SELECT "a b".id, o2.id, o3.id FROM {joined} WHERE "a b".id = 0 ORDER BY 2, 3').fetchall()  # noqa: S608 (as above)
    assert found == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]


def test_a_dense_field_takes_no_nested_loop(node):
    rng = np.random.default_rng(SEED)
    fill(node, rng.uniform(150, 150.2, 20_000), rng.uniform(2, 2.2, 20_000))
    join = neighbours(*sides(), 1 / 3600, rows_a_deg2=500_000).sql(further='"o1".id < "o2".id')
    plan = "\n".join(line for (line,) in node.execute(f"EXPLAIN (ANALYZE, TIMING OFF) SELECT count(*) FROM {join}").fetchall())  # noqa: S608
    assert "Hash Join" in plan or "Merge Join" in plan
    (count,) = node.execute(f"SELECT count(*) FROM {join}").fetchone()  # noqa: S608 (our own text)
    ra, dec = np.radians(node.execute("SELECT ra, dec FROM place").fetchall()).T
    xyz = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    order = np.argsort(xyz[:, 2])
    xyz = xyz[order]
    limit = 2 * np.sin(np.radians(1 / 3600) / 2)
    near = 0
    for step in range(1, 2000):
        apart = xyz[step:] - xyz[:-step]
        if apart[:, 2].min() > limit:
            break
        near += int((np.einsum("ij,ij->i", apart, apart) <= limit**2).sum())
    assert count == near > 100

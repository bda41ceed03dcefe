"""Rows of database ``edges``, as its files hold them: positions at corners of pixels, poles and RA = 0, values at ends of types."""

import datetime as dt

import healpy
import numpy as np
import pyarrow as pa

from tests.oracle.sphere import displaced, positions

SEED = 20260714

FIRST_POINT = 2**53
"""Keys from here on are not all told apart in double precision."""

FARTHEST_MATE_DEG = 0.9

FARTHEST_MARK_DEG = 5.0

FARTHEST_TRAIL_DEG = 0.2
"""With it, and the overlap, near neighbours of trails are found within 0.8 degrees."""

UNPLACED = 5

FEW = 64
"""Points with keys around 0."""

SPECIAL_POSITIONS = (
    *((0.0, 0.0), (360.0, 0.1), (-1e-14, 0.2), (359.99999999999994, 0.3), (1e-12, 0.4), (720.5, 0.5), (-0.0, -0.5), (-90.0, 10.0)),
    *((0.0, 90.0), (123.4, 90.0), (0.0, -90.0), (359.9, -90.0), (45.0, 89.99999999), (225.0, 89.99999999), (180.0, -89.999)),
    *((180.0, 0.0), (90.0, 0.0), (270.0, 0.0), (0.001, 89.0), (359.999, 89.0), (10.0, 20.0), (10.0, 20.0), (10.0, 20.000001)),
    *((45.2, 0.1), (44.8, -0.1), (45.1, -0.3), (90.1, 42.0), (89.9, 41.6), (0.3, 0.05), (359.7, -0.1), (135.1, 0.1), (180.2, 41.9)),
)
"""Longitude, latitude (deg); longitudes are reduced when they are loaded."""

NAN, INFINITY = float("nan"), float("inf")
DOUBLES = (
    NAN,
    INFINITY,
    -INFINITY,
    0.0,
    -0.0,
    1e308,
    -1e308,
    5e-324,
    1.5,
    -1.5,
    2.0**53 + 2,
    0.1,
    None,
    1 / 3,
    1e-7,
    123456789.125,
)
REALS = (NAN, INFINITY, -INFINITY, 0.0, 3.4028235e38, 1e-45, 0.1, -0.1, 16777216.0, 1.5, None)
BIG = (2**63 - 1, -(2**63), 2**53 + 1, 2**53, -(2**53) - 1, 0, -1, 1, None, 2**31, -(2**31) - 1)
SHORTS = (0, 1, 2, 3, 4, 5, 5, 5, -32768, 32767, None)
LABELS = ("", "a", "A", "b", "ä", "{point}", "it's", 'a "b"', "日本", "\U0001d6fc", "x" * 40, " ", "%", None)
SEEN = (
    *(dt.datetime(2000, 1, 1), dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001 (columns have no zone)
    *(dt.datetime(1969, 12, 31, 23, 59, 59, 999999), None, dt.datetime(2024, 2, 29, 12)),  # noqa: DTZ001 (as above)
)


def corners(order, pixels):
    """Return the corners of pixels (NESTED), each once, as longitude and latitude in degrees."""
    xyz = np.concatenate([healpy.boundaries(2**order, pixel, step=1, nest=True).T for pixel in pixels])
    return positions(xyz[np.unique(xyz.round(12), axis=0, return_index=True)[1]])


def point_positions():
    """Return positions: special ones, corners of all pixels of order 1, and of those of order 3 in three base pixels."""
    parts = [np.array(SPECIAL_POSITIONS).T, *(corners(order, pixels) for order, pixels in ((1, range(48)), (3, range(192))))]
    parts.append(np.full((2, UNPLACED), np.nan))
    return np.concatenate(parts, axis=1)


def cycled(values, count, kind=None):
    return pa.array([values[place % len(values)] for place in range(count)], kind, from_pandas=False)


def points():
    ra, dec = point_positions()
    count = len(ra)
    keys = np.arange(count) + FIRST_POINT
    keys[:FEW] = np.arange(FEW) - FEW // 2
    return pa.table(
        {
            "point_id": keys,
            "ra": pa.array(ra, from_pandas=True),
            "dec": pa.array(dec, from_pandas=True),
            "kept": cycled(DOUBLES, count, pa.float64()),
            "plain": cycled(DOUBLES[::-1], count, pa.float64()),
            "size": cycled(REALS, count, pa.float32()),
            "big": cycled(BIG, count, pa.int64()),
            "Kind": cycled(SHORTS, count, pa.int16()),
            "flag": cycled((True, False, None, True), count, pa.bool_()),
            "label": cycled(LABELS, count, pa.string()),
            "seen": cycled(SEEN, count, pa.timestamp("us")),
        }
    )


def around(each, farthest_deg, random):
    """Return keys and positions of ``each`` rows around each point."""
    table = points()
    place = np.repeat(np.arange(len(table)), each)
    ra, dec = (table[name].to_numpy()[place] for name in ("ra", "dec"))
    distance, angle = random.uniform(0, farthest_deg, len(place)), random.uniform(0, 2 * np.pi, len(place))
    return table["point_id"].to_numpy()[place], *displaced(ra, dec, distance, angle)


def mates():
    """Return neighbours of points; the last ones refer to none, or to one that is not there."""
    random = np.random.default_rng(SEED)
    keys, ra, dec = around(np.arange(len(points())) % 5, FARTHEST_MATE_DEG, random)
    alone = 20
    point = [*keys.tolist(), *([None, -5000] * (alone // 2))]
    ra = np.append(ra, random.uniform(0, 360, alone))
    dec = np.append(dec, random.uniform(-90, 90, alone))
    return pa.table(
        {
            "mate_id": np.arange(len(ra)) * 3 - 100,
            "point_id": pa.array(point, pa.int64()),
            "ra": pa.array(ra, from_pandas=True),
            "dec": pa.array(dec, from_pandas=True),
            "weight": pa.array(random.normal(0, 10, len(ra)), mask=random.random(len(ra)) < 0.1),
        }
    )


def marks():
    random = np.random.default_rng(SEED + 1)
    keys, ra, dec = around((np.arange(len(points())) + 1) % 4, FARTHEST_MARK_DEG, random)
    value = random.integers(-1000, 1000, len(keys)).astype(np.int32)
    return pa.table(
        {
            "mark_id": np.arange(len(keys), dtype=np.int32),
            "point_id": keys,
            "ra": pa.array(ra, from_pandas=True),
            "dec": pa.array(dec, from_pandas=True),
            "value": pa.array(value, mask=random.random(len(keys)) < 0.1),
        }
    )


def orphans(shift):
    """Return keys and positions of rows that no point has, or whose key is NULL: at special positions and corners of pixels.

    Some keys are at one place, others all over the sky, the same in ``trails`` and in ``echoes``, at places a bit apart.
    """
    ra, dec = np.concatenate([np.array(SPECIAL_POSITIONS).T, corners(1, range(48)), np.full((2, UNPLACED), np.nan)], axis=1)
    beyond = FIRST_POINT + len(point_positions()[0])
    keys = [(-5000, None, -5000, beyond, -5000, None, beyond + 1, 2**63 - 1, -5000)[place % 9] for place in range(len(ra))]
    keys += [-6000 - shift, 2**53 - 1, FEW, -(2**63)]
    return keys, np.append(ra, [10.0, 200.0, 200.0, 0.0]) + shift, np.append(dec, [5.0, -40.0, -40.0, 90.0])


def strays(name, each, shift, farthest_deg, seed):
    """Return rows around points, and orphans, whose keys are NULL or those of no point."""
    random = np.random.default_rng(seed)
    place = np.arange(len(points()))
    keys, ra, dec = around((place + shift) % each, farthest_deg, random)
    more, more_ra, more_dec = orphans(shift)
    count = len(keys) + len(more)
    value = random.integers(-1000, 1000, count).astype(np.int32)
    return pa.table(
        {
            name: np.arange(count, dtype=np.int32),
            "point_id": pa.array([*keys.tolist(), *more], pa.int64()),
            "ra": pa.array(np.append(ra, more_ra), from_pandas=True),
            "dec": pa.array(np.append(dec, more_dec), from_pandas=True),
            "value": pa.array(value, mask=random.random(count) < 0.1),
        }
    )


def with_points(table):
    """Return rows with the positions of their points, which are known of those that are there."""
    known = {
        key: (ra, dec) for key, ra, dec in zip(*(points()[name].to_pylist() for name in ("point_id", "ra", "dec")), strict=True)
    }
    carried = [known.get(key, (12.5, -30.0)) for key in table["point_id"].to_pylist()]
    for place, name in enumerate(("point_ra", "point_dec")):
        table = table.append_column(name, pa.array([each[place] for each in carried], pa.float64()))
    return table


def shadows():
    random = np.random.default_rng(SEED + 4)
    keys, _, _ = around((np.arange(len(points())) + 2) % 3, 0.0, random)
    value = random.integers(-9, 9, len(keys)).astype(np.int32)
    return with_points(pa.table({"point_id": keys, "value": pa.array(value)}))


def rows():
    """Return the tables of database ``edges`` by their names."""
    doubles, empty = pa.float64(), pa.array([], pa.int64())
    return {
        "points": points(),
        "mates": mates(),
        "marks": marks(),
        "trails": strays("trail_id", 3, 0, FARTHEST_TRAIL_DEG, SEED + 2),
        "echoes": with_points(strays("echo_id", 2, 1, FARTHEST_MARK_DEG, SEED + 3)),
        "shadows": shadows(),
        "nothing": pa.table(
            {
                "nothing_id": empty,
                **{name: pa.array([], doubles) for name in ("ra", "dec", "value")},
                "label": pa.array([], pa.string()),
            }
        ),
        "nothing_of_it": pa.table({"nothing_id": empty, "value": pa.array([], pa.int32())}),
        "lonely": pa.table({"lonely_id": pa.array([7], pa.int32()), "ra": [359.99999], "dec": [-45.0], "value": [2.5]}),
        "kind": pa.table({"Kind": pa.array([0, 1, 2, 5, 9], pa.int16()), "name": ["none", "star", "galaxy", None, "unused"]}),
        "filter": pa.table({"filter": ["r", "zz"], "number": pa.array([1, 2], pa.int32())}),
    }

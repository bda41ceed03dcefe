"""Random regions of every form, for the engine and for plain PostgreSQL."""

import math

import numpy as np

from tests.oracle.sphere import displaced

PLACES = (
    (0.0, 0.0),
    (45.0, 0.0),
    (0.0, 90.0),
    (10.0, -90.0),
    (359.99, 30.0),
    (90.0, 41.81),
    (266.4, -28.9),
    (83.8, -5.4),
    (22.5, 19.47),
)
"""Where things go wrong: RA = 0, corners of pixels, poles; and where stars are."""


def random_region(random, ra, dec, places=PLACES):
    """Return a condition on a position in both spellings."""
    place = (
        random.choice(places) if random.random() < 0.5 else (random.uniform(0, 360), math.degrees(math.asin(random.uniform(-1, 1))))
    )
    lon, lat = (round(value, 4) for value in place)
    form = random.choice((_circle, _circle, _distance, _lonlat_box, _adql_box, _polygon, _ellipse, _compared))
    ours, plain = form(random, ra, dec, lon, lat)
    return (f"NOT {ours}", f"NOT {plain}") if random.random() < 0.1 else (ours, plain)


def _size(random):
    # No whole degrees: a position at that very distance is inside or outside by rounding.
    return round(round(10 ** random.uniform(-1.5, 1.7), 4) + 0.000017, 6)


def _circle(random, ra, dec, lon, lat):
    radius = _size(random)
    spelled = random.choice(
        (
            f"CONTAINS(POINT({ra}, {dec}), CIRCLE({lon}, {lat}, {radius})) = 1",
            f"1 = CONTAINS(POINT({ra}, {dec}), CIRCLE(POINT({lon}, {lat}), {radius}))",
            f"INTERSECTS(POINT({ra}, {dec}), CIRCLE({lon}, {lat}, {radius})) = 1",
            f"NOT CONTAINS(POINT({ra}, {dec}), CIRCLE({lon}, {lat}, {radius})) = 0",
        )
    )
    return f"({spelled})", f"(sep({ra}, {dec}, {lon}, {lat}) <= {radius})"


def _distance(random, ra, dec, lon, lat):
    radius = _size(random)
    call = random.choice(
        (
            f"DISTANCE(POINT({ra}, {dec}), POINT({lon}, {lat}))",
            f"DISTANCE({lon}, {lat}, {ra}, {dec})",
            f"scisql_angSep({ra}, {dec}, {lon}, {lat})",
        )
    )
    forms = ("({} < {})", "({} <= {})", "({} > {})", "({} BETWEEN 0.01 AND {})")
    form = random.choice(forms)
    return form.format(call, radius), form.format(f"sep({ra}, {dec}, {lon}, {lat})", radius)


def _lonlat_box(random, ra, dec, lon, lat):
    width, height = min(_size(random), 170.0), min(_size(random), 60.0)
    low, high = (lon - width) % 360, (lon + width) % 360
    south, north = max(lat - height, -90), min(lat + height, 90)
    low, high, south, north = (round(value, 4) for value in (low, high, south, north))
    word = "AND" if low <= high else "OR"
    plain = f"(({ra} >= {low} {word} {ra} <= {high}) AND {dec} BETWEEN {south} AND {north})"
    # The function for a condition gives 0 without position, the areaspec is of the first director and so not used here.
    return f"(scisql_s2PtInBox({ra}, {dec}, {low}, {south}, {high}, {north}) = 1)", f"COALESCE({plain}, false)"


def _adql_box(random, ra, dec, lon, lat):
    width, height = min(_size(random), 100.0), min(_size(random), 100.0)
    return (
        f"(CONTAINS(POINT({ra}, {dec}), BOX({lon}, {lat}, {width}, {height})) = 1)",
        f"adql_box({ra}, {dec}, {lon}, {lat}, {width}, {height})",
    )


def _polygon(random, ra, dec, lon, lat):
    """A convex polygon: vertices on a circle around the place."""
    radius = min(_size(random), 40.0)
    angles = np.array(sorted(random.uniform(0, 2 * math.pi) for _ in range(random.randint(3, 6))))
    lons, lats, radii = (np.full_like(angles, value) for value in (lon, lat, radius))
    vertices = np.stack(displaced(lons, lats, radii, angles), axis=1).round(6)
    # Where angles, or at a pole positions, are the same, no edge runs between them.
    apart = np.abs(vertices - np.roll(vertices, 1, axis=0)).max(axis=1) > 1e-5
    vertices = vertices[apart]
    if len(vertices) < 3:
        return _circle(random, ra, dec, lon, lat)
    if random.random() < 0.5:
        vertices = vertices[::-1]
    numbers = ", ".join(map(repr, vertices.ravel().tolist()))
    return f"(CONTAINS(POINT({ra}, {dec}), POLYGON({numbers})) = 1)", f"convex({ra}, {dec}, {numbers})"


def _ellipse(random, ra, dec, lon, lat):
    major = round(min(_size(random), 9.0) * 3600)
    minor, angle = round(major * random.uniform(0.2, 1)), random.randint(0, 180)
    numbers = f"{ra}, {dec}, {lon}, {lat}, {major}, {minor}, {angle}"
    return f"(scisql_s2PtInEllipse({numbers}) = 1)", f"COALESCE(ellipse({numbers}), false)"


def _compared(random, ra, dec, lon, lat):
    size = _size(random)
    text = random.choice(
        (
            f"({ra} BETWEEN {lon} AND {round(lon + size, 4)} AND {dec} > {round(lat - size, 4)})",
            f"({dec} < {lat} AND {dec} >= {round(lat - size, 4)})",
            f"({ra} > {lon} OR {ra} <= {round(size, 4)})",
            f"({ra} = {lon})",
            f"({lon} <= {ra})",
        )
    )
    return text, text

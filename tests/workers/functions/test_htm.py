"""The Hierarchical Triangular Mesh, against triangles that are made from identifiers, the other way round."""

import numpy as np
import pytest

CORNERS = {"Z": (0, 0, 1), "X": (1, 0, 0), "Y": (0, 1, 0), "x": (-1, 0, 0), "y": (0, -1, 0), "z": (0, 0, -1)}
OCTANTS = dict(zip(range(8, 16), ("XzY", "Yzx", "xzy", "yzX", "XZy", "yZx", "xZY", "YZX"), strict=True))


def triangle(htm_id):
    """Return the corners of a triangle by its identifier."""
    digits = []
    while htm_id > 15:
        digits.append(htm_id % 4)
        htm_id //= 4
    a, b, c = (np.array(CORNERS[name], float) for name in OCTANTS[htm_id])
    for digit in reversed(digits):
        u, v, w = (each / np.linalg.norm(each) for each in (b + c, c + a, a + b))
        a, b, c = ((a, w, v), (b, u, w), (c, v, u), (u, v, w))[digit]
    return a, b, c


@pytest.fixture
def sky():
    rng = np.random.default_rng(20260725)
    ra = np.concatenate([rng.uniform(0, 360, 300), [0, 0, 0, 90, 180, 270, 45]])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), [90, -90, 0, 0, 0, 0, 45]])
    return ra, dec


@pytest.mark.parametrize("level", [0, 1, 7, 20, 24])
def test_the_triangle_of_a_position_holds_it(evaluate, sky, level):
    ra, dec = sky
    found = evaluate(f"qserv.scisql_s2HtmId(a, b, {level})", a=ra, b=dec)
    lon, lat = np.radians(ra), np.radians(dec)
    positions = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    for htm_id, position in zip(found, positions, strict=True):
        assert 8 * 4**level <= htm_id < 16 * 4**level
        a, b, c = triangle(htm_id)
        assert min(np.cross(first, second) @ position for first, second in ((a, b), (b, c), (c, a))) > -1e-15
    assert evaluate(f"qserv.scisql_s2HtmLevel(qserv.scisql_s2HtmId(a, b, {level}))", a=ra, b=dec) == [level] * len(ra)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("scisql_s2HtmId(0, 91, 3)", None),
        ("scisql_s2HtmId(0, 0, 25)", None),
        ("scisql_s2HtmId(0, 0, -1)", None),
        ("scisql_s2HtmId('NaN', 0, 3)", None),
        ("scisql_s2HtmId(NULL, 0, 3)", None),
        ("scisql_s2HtmId(45, 45, 0)", 15),
        ("scisql_s2HtmId(45, -45, 0)", 8),
        ("scisql_s2HtmLevel(32)", 1),
        ("scisql_s2HtmLevel(7)", None),
        ("scisql_s2HtmLevel(16)", None),
        ("scisql_s2HtmLevel(-1)", None),
        ("scisql_s2HtmLevel(NULL)", None),
        ("scisql_getVersion()", "0.3.10"),
    ],
)
def test_values(scalar, expression, expected):
    assert scalar(f"qserv.{expression}") == expected

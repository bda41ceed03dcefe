"""Range sets against Python's own sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.healpix import PIXELS_29
from partitioner.ranges import EMPTY, WHOLE_SKY, PixelRanges

TOP = 60
"""Sets are made of the pixels below this, and of the rest of the sphere as one more."""

members = st.sets(st.integers(0, TOP))


def as_ranges(pixels):
    return PixelRanges.of([(PIXELS_29 - 1, PIXELS_29) if pixel == TOP else (pixel, pixel + 1) for pixel in pixels])


def as_set(ranges):
    return {TOP if low == PIXELS_29 - 1 else pixel for low, high in ranges.array.tolist() for pixel in range(low, high)}


@given(members, members)
def test_set_operations(a, b):
    one, other = as_ranges(a), as_ranges(b)
    assert as_set(one | other) == a | b
    assert as_set(one & other) == a & b
    assert as_set(one - other) == a - b
    assert (~one).pixels == PIXELS_29 - len(a)
    assert ~~one == one
    assert (one == other) == (a == b)
    assert PixelRanges.union_of([one, other, EMPTY]) == one.union(other)


@given(members)
def test_ranges_are_normal_and_contain_their_pixels(a):
    ranges = as_ranges(a)
    assert (ranges.array[:, 0] < ranges.array[:, 1]).all()
    assert (ranges.array[1:, 0] > ranges.array[:-1, 1]).all()
    pixels = np.array([*range(TOP), PIXELS_29 - 1])
    assert ranges.contains(pixels).tolist() == [pixel in a for pixel in range(TOP + 1)]
    assert len({ranges, as_ranges(a)}) == 1
    with pytest.raises(ValueError, match="read-only"):
        ranges.array[...] = 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))))
def test_any_ranges_may_be_given(given_ranges):
    expected = {pixel for low, high in given_ranges for pixel in range(low, high)}
    assert as_set(PixelRanges.of(given_ranges)) == expected


@given(members, st.integers(1, 10))
def test_coarsened_is_the_smallest_superset_of_so_many_ranges(a, limit):
    ranges = as_ranges(a - {TOP})
    coarse = ranges.coarsened(limit)
    assert len(coarse) == min(limit, len(ranges))
    assert not len(ranges - coarse)
    gaps = sorted((ranges.array[1:, 0] - ranges.array[:-1, 1]).tolist(), reverse=True)
    assert coarse.pixels - ranges.pixels == sum(gaps[limit - 1 :])


def test_limits():
    assert WHOLE_SKY.area_deg2 == pytest.approx(41252.96125)
    assert EMPTY.area_deg2 == 0
    assert not EMPTY.contains([0, 5]).any()
    assert WHOLE_SKY.contains([0, PIXELS_29 - 1]).all()
    assert ~EMPTY == WHOLE_SKY
    assert EMPTY.coarsened(1) == EMPTY
    for wrong in ([(-1, 3)], [(0, PIXELS_29 + 1)]):
        with pytest.raises(ValueError, match="lie within"):
            PixelRanges.of(wrong)
    with pytest.raises(ValueError, match="coarsened to 0"):
        WHOLE_SKY.coarsened(0)

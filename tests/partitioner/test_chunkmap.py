"""Chunk maps tile the sphere and find chunks as a search through their ranges does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.chunkmap import MAX_ORDER, ChunkMap, Histogram
from partitioner.healpix import PIXELS_29, nuniq_of, pixel_of, range_starts
from partitioner.ranges import EMPTY, WHOLE_SKY, PixelRanges
from partitioner.regions import Circle


@st.composite
def chunk_maps(draw):
    """Maps made by splitting pixels at random: up to five orders deep."""
    if draw(st.booleans()):
        return ChunkMap.uniform(draw(st.integers(0, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    orders, pixels = np.zeros(12, dtype=np.int64), np.arange(12)
    for _ in range(draw(st.integers(1, 4))):
        split = rng.random(len(pixels)) < 0.3
        orders = np.concatenate((orders[~split], np.repeat(orders[split] + 1, 4)))
        pixels = np.concatenate((pixels[~split], (4 * pixels[split][:, np.newaxis] + np.arange(4)).ravel()))
    return ChunkMap.from_nuniq(rng.permutation(nuniq_of(orders, pixels)))


def edge_pixels(chunk_map, rng):
    """Order-29 pixels at the ends of chunks, and anywhere."""
    starts = chunk_map.starts
    return np.concatenate((starts, starts[1:] - 1, [PIXELS_29 - 1], rng.integers(0, PIXELS_29, 200)))


@given(chunk_maps(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_each_pixel_is_in_the_ranges_of_its_chunk_alone(chunk_map, seed):
    pixels = edge_pixels(chunk_map, np.random.default_rng(seed))
    chunks = chunk_map.chunk_of(pixels)
    assert chunks.dtype == np.int64
    for chunk, pixel in list(zip(chunks.tolist(), pixels.tolist(), strict=True))[:: max(len(pixels) // 50, 1)]:
        ranges = chunk_map.ranges_of(chunk)
        assert ranges.contains(pixel)
        assert chunk_map.chunks_in(ranges).tolist() == [chunk]
    ranges = [chunk_map.ranges_of(chunk) for chunk in chunk_map.nuniq.tolist()]
    assert PixelRanges.union_of(ranges) == WHOLE_SKY
    assert sum(part.pixels for part in ranges) == PIXELS_29
    assert ChunkMap.from_nuniq(chunk_map.nuniq) == chunk_map
    assert len({chunk_map, ChunkMap.from_nuniq(chunk_map.nuniq)}) == 1


@given(chunk_maps(), st.floats(0, 360), st.floats(-90, 90), st.floats(0, 180))
@settings(max_examples=80, deadline=None)
def test_chunks_in_a_region(chunk_map, ra, dec, radius):
    ranges = Circle(ra, dec, radius).ranges()
    low, high = ranges.array.T
    ends = np.append(chunk_map.starts[1:], PIXELS_29)
    meets = (chunk_map.starts[:, np.newaxis] < high) & (ends[:, np.newaxis] > low)
    assert chunk_map.chunks_in(ranges).tolist() == chunk_map.nuniq[meets.any(axis=1)].tolist()


def test_chunks_in_nothing_and_everything():
    chunk_map = ChunkMap.uniform(2)
    assert chunk_map.chunks_in(EMPTY).tolist() == []
    assert chunk_map.chunks_in(WHOLE_SKY).tolist() == list(range(64, 64 + 192))
    assert chunk_map.chunk_of(np.empty(0, dtype=np.int64)).tolist() == []
    assert ChunkMap.uniform(0).nuniq.tolist() == list(range(4, 16))


@pytest.mark.parametrize(
    "nuniq",
    [[], [4], range(4, 15), [*range(4, 16), 15], [*range(4, 16), 16], [0, *range(4, 16)], [*range(4, 15), *range(60, 63)]],
    ids=["none", "one", "gap", "twice", "child of one", "chunk 0", "child missing"],
)
def test_pixels_that_do_not_tile(nuniq):
    with pytest.raises(ValueError, match=r"tile|NUNIQ"):
        ChunkMap.from_nuniq(np.array(list(nuniq), dtype=np.int64))


@pytest.mark.parametrize("order", [-1, MAX_ORDER + 1])
def test_orders_out_of_range(order):
    with pytest.raises(ValueError, match="HEALPix order"):
        ChunkMap.uniform(order)


@given(st.integers(0, 4), st.integers(1, 300), st.integers(0, 99), st.data())
@settings(max_examples=60, deadline=None)
def test_adaptive_maps_split_what_has_too_many_rows_and_nothing_else(order, target, seed, data):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.exponential(5, 12 * 4**order) ** 2)
    max_order = data.draw(st.integers(0, order))
    min_order = data.draw(st.integers(0, max_order))
    chunk_map = ChunkMap.adaptive(counts, target, max_order, min_order)
    assert chunk_map.orders.min() >= min_order
    assert chunk_map.orders.max() <= max_order
    total = np.concatenate(([0], np.cumsum(counts)))
    rows_in = lambda at, ipix: total[(ipix + 1) << (2 * (order - at))] - total[ipix << (2 * (order - at))]  # noqa: E731 (used twice)
    rows = rows_in(chunk_map.orders, chunk_map.ipix)
    assert rows.sum() == counts.sum()
    assert ((rows <= target) | (chunk_map.orders == max_order)).all()
    split = chunk_map.orders > min_order
    assert (rows_in(chunk_map.orders[split] - 1, chunk_map.ipix[split] >> 2) > target).all()


@pytest.mark.parametrize("wrong", [{"counts": [1] * 13}, {"counts": []}, {"target_rows": 0}, {"max_order": 2}, {"min_order": 2}])
def test_adaptive_maps_refuse_nonsense(wrong):
    given_values = {"counts": [1] * 48, "target_rows": 1, "max_order": 1, "min_order": 0} | wrong
    with pytest.raises(ValueError, match=r"adaptive map|HEALPix order"):
        ChunkMap.adaptive(**given_values)


def test_histogram_counts_batches():
    rng = np.random.default_rng(0)
    pixels = pixel_of(rng.uniform(0, 360, 5000), rng.uniform(-90, 90, 5000))
    histogram = Histogram(3)
    for batch in np.array_split(pixels, 7):
        histogram.add(batch)
    histogram.add(np.empty(0, dtype=np.int64))
    np.testing.assert_array_equal(histogram.counts, np.bincount(pixels >> 52, minlength=12 * 64))
    assert histogram.rows == 5000
    deep = ChunkMap.adaptive(histogram.counts, 100)
    assert deep.order is None
    assert np.bincount(deep.index_of(pixels)).max() <= 100 or deep.orders.max() == 3


def test_a_map_finer_than_its_lookup_table():
    histogram = Histogram(10)
    histogram.add(pixel_of(np.full(100, 56.75), np.linspace(24.11, 24.13, 100)))
    chunk_map = ChunkMap.adaptive(histogram.counts, 10)
    assert chunk_map.orders.max() == 10
    pixels = edge_pixels(chunk_map, np.random.default_rng(1))
    expected = chunk_map.nuniq[np.searchsorted(chunk_map.starts, pixels, side="right") - 1]
    np.testing.assert_array_equal(chunk_map.chunk_of(pixels), expected)
    with pytest.raises(ValueError, match="not a chunk of this map"):
        chunk_map.ranges_of(int(nuniq_of(10, 0)))
    assert range_starts(chunk_map.orders, chunk_map.ipix)[0] == 0

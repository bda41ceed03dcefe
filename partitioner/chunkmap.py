"""Chunk maps: disjoint HEALPix pixels, of one order or of several, that tile the sphere."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partitioner.healpix import BASE_PIXELS, ORDER, PIXELS_29, Pixels, nuniq_of, pixels_of_nuniq, range_starts
from partitioner.ranges import PixelRanges

MAX_ORDER = 14
"""Finest order of a chunk: pixels of 13 arcsec. Finer ones would mean thousands of millions of chunks."""

_LOOKUP_ORDER = 8
"""Order of the table that finds a chunk without a search: 786,432 entries of 4 bytes stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class ChunkMap:
    """An immutable tiling of the sphere. Make it with `uniform`, `adaptive` or `from_nuniq`.

    Attributes
    ----------
    orders, ipix
        int64, shape (n,): the chunks, along the NESTED curve.
    """

    orders: Pixels
    ipix: Pixels

    def __post_init__(self) -> None:
        starts, ends = range_starts(self.orders, self.ipix), range_starts(self.orders, self.ipix + 1)
        if not len(starts) or starts[0] != 0 or ends[-1] != PIXELS_29 or (starts[1:] != ends[:-1]).any():
            msg = "the chunks do not tile the sphere: there is a gap or an overlap between them"
            raise ValueError(msg)
        if self.orders.max() > MAX_ORDER:
            msg = f"a chunk map goes to HEALPix order {MAX_ORDER} at most, not to {int(self.orders.max())}"
            raise ValueError(msg)

    @classmethod
    def uniform(cls, order: int) -> Self:
        """Return the map of all pixels of one order, 0 to `MAX_ORDER`."""
        if not 0 <= order <= MAX_ORDER:
            msg = f"a chunk map has HEALPix orders 0 to {MAX_ORDER}, not {order}"
            raise ValueError(msg)
        ipix = np.arange(BASE_PIXELS << (2 * order), dtype=np.int64)
        return cls(np.full(len(ipix), order, dtype=np.int64), ipix)

    @classmethod
    def adaptive(cls, counts: ArrayLike, target_rows: int, max_order: int | None = None, min_order: int = 0) -> Self:
        """Return a map that is finer where the sky is dense.

        Parameters
        ----------
        counts
            Rows of each pixel of one order, shape (12 * 4**order,); see `Histogram`.
        target_rows
            A pixel with more rows is split in four, down to ``max_order``.
        max_order
            Finest order of a chunk; that of ``counts`` unless given.
        min_order
            Coarsest order of a chunk.
        """
        level = np.asarray(counts, dtype=np.int64)
        count_order = (max(level.size // BASE_PIXELS, 1).bit_length() - 1) // 2
        if level.ndim != 1 or level.size != BASE_PIXELS << (2 * count_order):
            msg = f"counts of {level.size} pixels are not those of one HEALPix order"
            raise ValueError(msg)
        max_order = count_order if max_order is None else max_order
        if not 0 <= min_order <= max_order <= count_order or target_rows < 1:
            msg = (
                f"an adaptive map needs 0 <= min_order <= max_order <= {count_order} (the order of the counts), target_rows >= 1; "
                f"given are {min_order}, {max_order} and {target_rows}"
            )
            raise ValueError(msg)
        pyramid = [level]
        while len(pyramid) <= count_order:
            pyramid.append(pyramid[-1].reshape(-1, 4).sum(axis=1))
        pyramid.reverse()
        orders, pixels = [], []
        open_pixels = np.arange(BASE_PIXELS, dtype=np.int64)
        for order in range(max_order + 1):
            split = ((pyramid[order][open_pixels] > target_rows) | (order < min_order)) & (order < max_order)
            pixels.append(open_pixels[~split])
            orders.append(np.full(len(pixels[-1]), order, dtype=np.int64))
            open_pixels = (4 * open_pixels[split][:, np.newaxis] + np.arange(4)).ravel()
        return cls.from_nuniq(nuniq_of(np.concatenate(orders), np.concatenate(pixels)))

    @classmethod
    def from_nuniq(cls, nuniq: ArrayLike) -> Self:
        """Return the map of chunk numbers, in any sequence.

        Raises
        ------
        ValueError
            A number is no NUNIQ, or the pixels leave a gap or overlap.
        """
        orders, ipix = pixels_of_nuniq(np.atleast_1d(nuniq))
        along = np.argsort(range_starts(orders, ipix), kind="stable")
        return cls(orders[along], ipix[along])

    def __len__(self) -> int:
        return len(self.ipix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChunkMap) and np.array_equal(self.nuniq, other.nuniq)

    def __hash__(self) -> int:
        return hash(self.nuniq.tobytes())

    @cached_property
    def nuniq(self) -> Pixels:
        """Chunk numbers, shape (n,), along the NESTED curve."""
        return nuniq_of(self.orders, self.ipix)

    @cached_property
    def starts(self) -> Pixels:
        """First order-29 pixel of each chunk, shape (n,), ascending; each chunk ends where the next begins."""
        return range_starts(self.orders, self.ipix)

    @cached_property
    def order(self) -> int | None:
        """The one order of all chunks; None where there are several."""
        first = int(self.orders[0])
        return first if (self.orders == first).all() else None

    @cached_property
    def _lookup(self) -> NDArray[np.int32]:
        """Index of the chunk that holds each pixel of order `_LOOKUP_ORDER`, or -1 where several share it."""
        firsts = range_starts(_LOOKUP_ORDER, np.arange((BASE_PIXELS << (2 * _LOOKUP_ORDER)) + 1, dtype=np.int64))
        index = np.searchsorted(self.starts, firsts[:-1], side="right") - 1
        last = np.searchsorted(self.starts, firsts[1:] - 1, side="right") - 1
        return np.where(index == last, index, -1).astype(np.int32)

    def index_of(self, healpix29: ArrayLike) -> Pixels:
        """Return the indexes, in `nuniq`, of the chunks of order-29 pixels; shape of the argument."""
        pixels = np.asarray(healpix29, dtype=np.int64)
        if self.order is not None:
            return np.asarray(pixels >> (2 * (ORDER - self.order)), dtype=np.int64)
        index: Pixels = self._lookup[pixels >> (2 * (ORDER - _LOOKUP_ORDER))].astype(np.int64)
        unknown = index < 0
        if unknown.any():
            index[unknown] = np.searchsorted(self.starts, pixels[unknown], side="right") - 1
        return index

    def chunk_of(self, healpix29: ArrayLike) -> Pixels:
        """Return the chunk numbers (NUNIQ) of order-29 pixels; shape of the argument."""
        index = self.index_of(healpix29)
        return nuniq_of(self.order, index) if self.order is not None else self.nuniq[index]

    def chunks_in(self, ranges: PixelRanges) -> Pixels:
        """Return the numbers of the chunks that share a pixel with the ranges, along the NESTED curve."""
        first = np.searchsorted(self.starts, ranges.array[:, 0], side="right") - 1
        last = np.searchsorted(self.starts, ranges.array[:, 1] - 1, side="right") - 1
        steps = np.zeros(len(self) + 1, dtype=np.int64)
        np.add.at(steps, first, 1)
        np.add.at(steps, last + 1, -1)
        return self.nuniq[np.cumsum(steps[:-1]) > 0]

    def ranges_of(self, chunk: int) -> PixelRanges:
        """Return the order-29 pixels of a chunk.

        Raises
        ------
        ValueError
            The number is no chunk of this map.
        """
        order, ipix = pixels_of_nuniq(chunk)
        start = range_starts(order, ipix)
        index = int(np.searchsorted(self.starts, start))
        if index == len(self) or self.nuniq[index] != chunk:
            msg = f"{chunk} is not a chunk of this map"
            raise ValueError(msg)
        return PixelRanges.of([[start, range_starts(order, ipix + 1)]])


class Histogram:
    """Rows of each pixel of one order, counted batch by batch.

    Attributes
    ----------
    counts
        int64, shape (12 * 4**order,).
    """

    def __init__(self, order: int = 8) -> None:
        self.order = order
        self.counts = np.zeros(BASE_PIXELS << (2 * order), dtype=np.int64)

    def add(self, healpix29: ArrayLike) -> None:
        """Count a batch of order-29 pixels, of rows that have a position."""
        np.add.at(self.counts, np.asarray(healpix29, dtype=np.int64) >> (2 * (ORDER - self.order)), 1)

    @property
    def rows(self) -> int:
        """Rows counted so far."""
        return int(self.counts.sum())

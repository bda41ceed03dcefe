"""Sets of order-29 pixels, as sorted disjoint half-open ranges: a MOC in range form (IVOA MOC 2.0, 4.3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from partitioner.healpix import PIXELS_29, SPHERE_DEG2, Pixels
from partitioner.sphere import Bools


@dataclass(frozen=True, eq=False)
class PixelRanges:
    """An immutable set of order-29 pixels. Make it with `of`; ``array`` must be normal already.

    Attributes
    ----------
    array
        int64, shape (n, 2), read-only: half-open ranges, ascending, with a gap between each and the next.
    """

    array: Pixels

    def __post_init__(self) -> None:
        self.array.flags.writeable = False

    @classmethod
    def of(cls, ranges: ArrayLike) -> Self:
        """Return the set of any half-open ranges, shape (n, 2): unsorted, overlapping, touching or empty ones too.

        Raises
        ------
        ValueError
            A range lies outside the pixels of order 29.
        """
        given = np.asarray(ranges, dtype=np.int64).reshape(-1, 2)
        given = given[given[:, 0] < given[:, 1]]
        if not len(given):
            return cls(np.empty((0, 2), dtype=np.int64))
        if given[:, 0].min() < 0 or given[:, 1].max() > PIXELS_29:
            msg = f"pixel ranges of order 29 lie within 0 to {PIXELS_29}"
            raise ValueError(msg)
        given = given[np.argsort(given[:, 0], kind="stable")]
        reached = np.maximum.accumulate(given[:, 1])
        first = np.concatenate(([True], given[1:, 0] > reached[:-1]))
        last = np.concatenate((first[1:], [True]))
        return cls(np.stack((given[first, 0], reached[last]), axis=1))

    @classmethod
    def union_of(cls, sets: Iterable["PixelRanges"]) -> Self:
        """Return the union of any number of sets."""
        return cls.of(np.concatenate([np.empty((0, 2), dtype=np.int64), *(one.array for one in sets)]))

    def __len__(self) -> int:
        return len(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PixelRanges) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __or__(self, other: "PixelRanges") -> Self:
        return self.union(other)

    def __and__(self, other: "PixelRanges") -> Self:
        return self.intersection(other)

    def __sub__(self, other: "PixelRanges") -> Self:
        return self.difference(other)

    def __invert__(self) -> Self:
        return self.complement()

    @property
    def pixels(self) -> int:
        """Number of order-29 pixels in the set."""
        return int((self.array[:, 1] - self.array[:, 0]).sum())

    @property
    def area_deg2(self) -> float:
        """Area in square degrees."""
        return self.pixels / PIXELS_29 * SPHERE_DEG2

    def union(self, other: "PixelRanges") -> Self:
        """Return the pixels in either set."""
        return self.of(np.concatenate((self.array, other.array)))

    def complement(self) -> Self:
        """Return the pixels of the sphere that are not in the set."""
        edges = np.concatenate(([0], self.array.ravel(), [PIXELS_29])).reshape(-1, 2)
        return type(self)(np.ascontiguousarray(edges[edges[:, 0] < edges[:, 1]]))

    def intersection(self, other: "PixelRanges") -> Self:
        """Return the pixels in both sets."""
        return self.complement().union(other.complement()).complement()

    def difference(self, other: "PixelRanges") -> Self:
        """Return the pixels of this set that are not in the other."""
        return self.complement().union(other).complement()

    def contains(self, healpix29: ArrayLike) -> Bools:
        """Return which order-29 pixels are in the set; shape of the argument."""
        pixels = np.asarray(healpix29, dtype=np.int64)
        if not len(self.array):
            return np.zeros(pixels.shape, dtype=np.bool_)
        at = np.searchsorted(self.array[:, 0], pixels, side="right") - 1
        return np.asarray((at >= 0) & (pixels < self.array[at, 1]), dtype=np.bool_)

    def coarsened(self, max_ranges: int) -> Self:
        """Return a superset of at most ``max_ranges`` ranges, made by closing the smallest gaps."""
        if max_ranges < 1:
            msg = f"a set of pixels cannot be coarsened to {max_ranges} ranges"
            raise ValueError(msg)
        if len(self.array) <= max_ranges:
            return self
        gaps = self.array[1:, 0] - self.array[:-1, 1]
        keep = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - (max_ranges - 1) :])
        starts = np.concatenate((self.array[:1, 0], self.array[keep + 1, 0]))
        ends = np.concatenate((self.array[keep, 1], self.array[-1:, 1]))
        return type(self)(np.stack((starts, ends), axis=1))


EMPTY = PixelRanges(np.empty((0, 2), dtype=np.int64))
"""No pixel."""

WHOLE_SKY = PixelRanges(np.array([[0, PIXELS_29]], dtype=np.int64))
"""Every pixel."""

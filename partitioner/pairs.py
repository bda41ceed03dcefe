"""Pairs of near points of a sphere: in strips as wide as the pairs may be apart, and along each strip in order.

Where points are few within the reach of each, as in all fields but the cores of clusters, this takes a fifth of the time of a k-d
tree, and no memory that is given back to the system.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from partitioner.sphere import Floats

Places = NDArray[np.int64]

BLOCK = 65_536
"""Points or candidates that are looked at together: what is made of them stays in a processor's cache."""

ROUNDING = 1e-14
"""More than what the projection of a unit vector is rounded by."""


class Pairs(NamedTuple):
    """Pairs of points, each once: their places, shape (m,), and the chords between them."""

    first: Places
    second: Places
    chords: Floats


def close_pairs(points: Floats, reach: float, most: int) -> Pairs | None:
    """Return the pairs of points whose chord is not longer than the reach.

    Parameters
    ----------
    points
        Unit vectors, shape (n, 3).
    most
        How many pairs are measured at most, which are about twice as many as there are.

    Returns
    -------
    pairs
        None where it would be more than so many.
    """
    order, keys, span = _strips(points, reach)
    width = reach + ROUNDING + 4 * np.spacing(keys[-1]) if len(keys) else reach
    places = np.arange(len(points))
    # Of each point, those behind it in its strip, and those beside it in the next one.
    windows = [
        (places + 1, np.searchsorted(keys, keys + width, "right")),
        (np.searchsorted(keys, keys + (span - width)), np.searchsorted(keys, keys + (span + width), "right")),
    ]
    if sum(int((ends - starts).sum()) for starts, ends in windows) > most:
        return None
    sorted_points = points[order]
    found: list[Pairs] = []
    for starts, ends in windows:
        for first, second in _candidates(starts, ends):
            chords = np.sqrt(np.square(sorted_points[first] - sorted_points[second]).sum(axis=1))
            near = np.flatnonzero(chords <= reach)
            found.append(Pairs(order[first[near]], order[second[near]], chords[near]))
    none = np.empty(0, dtype=np.int64)
    return Pairs(*(np.concatenate(part) for part in zip((none, none, np.empty(0)), *found, strict=True)))


def _strips(points: Floats, reach: float) -> tuple[Places, Floats, float]:
    """Return the order of points by strip and along it, a number of each that ascends in it, and by how much it does so a strip.

    Strips run across the plane that touches the sphere in the middle of the points. Nothing is nearer in space than in its
    projection, wherever it is: that the plane fits makes it fast, not right.
    """
    if not len(points):
        return np.empty(0, dtype=np.int64), np.empty(0), 0.0
    middle = points.mean(axis=0)
    axes = np.linalg.svd(np.stack([middle, middle]))[2][1:]  # the two that are orthogonal to it, whatever its length
    # Not as a product of matrices: for so narrow ones, libraries wake threads that wait for work in vain.
    across, along = (points[:, 0] * x + points[:, 1] * y + points[:, 2] * z for x, y, z in axes)
    across -= across.min()
    along -= along.min()
    span = float(along.max()) + 4 * reach + 4 * ROUNDING
    keys = np.floor(across / (reach + ROUNDING)) * span + along
    order = np.argsort(keys)
    return order, keys[order], span


def _candidates(starts: Places, ends: Places) -> Iterator[tuple[Places, Places]]:
    """Yield (point, other) for each other from its start to before its end, shape (k,), some of them at a time."""
    counts = np.maximum(ends - starts, 0)
    before = np.concatenate([[0], np.cumsum(counts)])
    low = 0
    while low < len(counts):
        # As many points as have a block of others, or a single one that has more.
        high = max(int(np.searchsorted(before, before[low] + BLOCK, "right")) - 1, low + 1)
        some = slice(low, high)
        first = np.repeat(np.arange(low, high), counts[some])
        yield first, np.arange(len(first)) + np.repeat(starts[some] - (before[some] - before[low]), counts[some])
        low = high

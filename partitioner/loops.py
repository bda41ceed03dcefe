"""Loops over positions, and over the points of strips: compiled, so imported by the functions that call them."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from partitioner.compiled import compiled
from partitioner.sphere import Bools, Floats

Places = NDArray[np.int64]


class Strips(NamedTuple):
    """Points by strip and along it, as `partitioner.strips` makes them.

    Attributes
    ----------
    order
        Places of the points, shape (n,), in the order of all else.
    points
        Unit vectors, shape (n, 3).
    keys
        A number that ascends along each strip as its points do, and from one strip to the next.
    offsets
        How far a point is from the near edge of its strip, shape (n,).
    span, width
        By how much keys ascend from a strip to the next, and how far apart the strips are: at least the reach.
    slack
        More than what keys and offsets are rounded by.
    """

    order: Places
    points: Floats
    keys: Floats
    offsets: Floats
    span: float
    width: float
    slack: float


@compiled
def places(ra: Floats, dec: Floats) -> tuple[Places, Floats, Bools]:
    """Return the place of each position, the unit vector of each place, and which places several positions in a row have.

    Parameters
    ----------
    ra, dec
        Degrees, shape (n,), none of them NaN.

    Returns
    -------
    place, points, shared
        Shapes (n,), (m, 3) and (m,).
    """
    place = np.empty(len(ra), dtype=np.int64)
    points = np.empty((len(ra), 3))
    shared = np.zeros(len(ra), dtype=np.bool_)
    count = 0
    for row in range(len(ra)):
        if row and ra[row] == ra[row - 1] and dec[row] == dec[row - 1]:
            shared[count - 1] = True
        else:
            lon, lat = math.radians(ra[row]), math.radians(dec[row])
            across = math.cos(lat)
            points[count, 0] = math.cos(lon) * across
            points[count, 1] = math.sin(lon) * across
            points[count, 2] = math.sin(lat)
            count += 1
        place[row] = count - 1
    return place, points[:count], shared[:count]


@compiled
def keys_of(points: Floats, axes: Floats, width: float) -> tuple[Floats, Floats, float]:
    """Return keys and offsets of points, in the order of the points, and the span of strips.

    Parameters
    ----------
    points
        Unit vectors, shape (n, 3).
    axes
        Those across and along the strips, shape (2, 3).
    width
        Of a strip.
    """
    across = _component(points, axes[0])
    along = _component(points, axes[1])
    span = (along.max() if len(along) else 0.0) + 4 * width
    for point in range(len(points)):
        strip = math.floor(across[point] / width)
        across[point] -= strip * width
        along[point] += strip * span
    return along, across, span


@compiled
def _component(points: Floats, axis: Floats) -> Floats:
    """Return how far points are along an axis from the one that is least far."""
    found = np.empty(len(points))
    least = np.inf
    for point in range(len(points)):
        found[point] = points[point, 0] * axis[0] + points[point, 1] * axis[1] + points[point, 2] * axis[2]
        least = min(least, found[point])
    return found - least


@compiled
def nearest_chords(strips: Strips, base: int, reach: float, most: int) -> tuple[Floats, bool]:
    """Return the shortest chord of each point to another one, infinite beyond the reach; and whether all are measured.

    Parameters
    ----------
    base
        Of two points, one is among so many first ones.
    most
        Points are not measured further when so many others have been looked at.
    """
    count = len(strips.keys)
    squares = np.full(count, np.inf)
    looked_at = before = behind = 0
    for point in range(count):
        key = strips.keys[point]
        looked_at += _measure(strips, base, squares, point, (point, key))
        while behind < count and strips.keys[behind] < key + strips.span:
            behind += 1
        while before < count and strips.keys[before] < key - strips.span:
            before += 1
        if _limit(strips, squares[point]) >= strips.width - strips.offsets[point]:
            looked_at += _measure(strips, base, squares, point, (behind, key + strips.span))
        if _limit(strips, squares[point]) >= strips.offsets[point]:
            looked_at += _measure(strips, base, squares, point, (before, key - strips.span))
        if looked_at > most:
            return squares, False
    chords = np.empty(count)
    for point in range(count):
        chord = math.sqrt(squares[point])
        chords[strips.order[point]] = chord if chord <= reach else np.inf
    return chords, True


@compiled
def _measure(strips: Strips, base: int, squares: Floats, point: int, place: tuple[int, float]) -> int:
    """Make a point's squared chord the shortest to others of a strip, and return how many were looked at.

    Parameters
    ----------
    place
        Where the point would be in the strip, and its key there: others are looked at on both sides, as far as they may be nearer.
    """
    start, key = place
    looked_at = 0
    for step in (1, -1):
        other = start if step > 0 else start - 1
        limit = _limit(strips, squares[point])
        while 0 <= other < len(squares) and abs(strips.keys[other] - key) <= limit:
            looked_at += 1
            if other != point and min(strips.order[point], strips.order[other]) < base:
                square = _square(strips.points, point, other)
                if square < squares[point]:
                    squares[point] = square
                    limit = _limit(strips, square)
            other += step
    return looked_at


@compiled
def _limit(strips: Strips, square: float) -> float:
    """Return how far along or across points are at most that may be nearer than a squared chord, and within the reach."""
    return min(math.sqrt(square), strips.width) + strips.slack


@compiled
def _square(points: Floats, one: int, other: int) -> float:
    """Return the square of the chord between two points."""
    x, y, z = points[one, 0] - points[other, 0], points[one, 1] - points[other, 1], points[one, 2] - points[other, 2]
    return float(x * x + y * y + z * z)


@compiled
def linked_groups(strips: Strips, reach: float, most: int, most_looked_at: int) -> tuple[NDArray[np.int32], bool]:
    """Return the group of each point, and whether groups have at most so many ordered pairs, each point with itself included.

    Parameters
    ----------
    reach
        Chord within which two points are in one group.
    most_looked_at
        Groups are made no further when so many others of points have been looked at.
    """
    count = len(strips.keys)
    lowest = np.arange(count)
    sizes = np.ones(count, dtype=np.int64)
    pairs, looked_at, start = count, 0, 0
    for point in range(count):
        ahead = strips.keys[point] + strips.span - strips.width - strips.slack
        while start < count and strips.keys[start] < ahead:
            start += 1
        for first, key in ((point + 1, strips.keys[point]), (start, strips.keys[point] + strips.span)):
            other = first
            while other < count and strips.keys[other] <= key + strips.width + strips.slack:
                if math.sqrt(_square(strips.points, point, other)) <= reach:
                    pairs += _unite(lowest, sizes, strips.order[point], strips.order[other])
                other += 1
            looked_at += other - first
        if pairs > most or looked_at > most_looked_at:
            return np.empty(0, dtype=np.int32), False
    groups = np.empty(count, dtype=np.int32)
    found = 0
    for point in range(count):
        if lowest[point] == point:
            groups[point] = found
            found += 1
        else:
            groups[point] = groups[_lowest(lowest, point)]
    return groups, True


@compiled
def _unite(lowest: Places, sizes: Places, one: int, other: int) -> int:
    """Make the groups of two points one, and return how many ordered pairs it has more than they had."""
    first, second = _lowest(lowest, one), _lowest(lowest, other)
    if first == second:
        return 0
    if second < first:
        first, second = second, first
    lowest[second] = first
    more = 2 * sizes[first] * sizes[second]
    sizes[first] += sizes[second]
    return int(more)


@compiled
def _lowest(lowest: Places, point: int) -> int:
    """Return the lowest point of a group; the way to it is shorter afterwards."""
    while lowest[point] != point:
        lowest[point] = lowest[lowest[point]]
        point = lowest[point]
    return point

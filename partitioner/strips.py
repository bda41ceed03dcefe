"""Points of a sphere in strips, and in order along each: those near a point are a little farther along, in its strip or beside it.

Strips run across the plane that touches the sphere in the middle of the points. Nothing is nearer in space than in its projection,
wherever it is: that the plane fits makes it fast, not right.
"""

from typing import TYPE_CHECKING

import numpy as np

from partitioner.sphere import Floats

if TYPE_CHECKING:
    from partitioner.loops import Strips

ROUNDING = 1e-14
"""More than what the projection of a unit vector is rounded by."""


def strips(points: Floats, reach: float) -> "Strips":
    """Return unit vectors, shape (n, 3), in strips in which two whose chord is within the reach are the same or neighbours."""
    from partitioner.loops import Strips, keys_of  # noqa: PLC0415 (a worker starts without what it takes to compile)

    width = reach + ROUNDING
    middle = np.einsum("pc->c", points)  # a quarter of the time of other sums along columns
    axes = np.linalg.svd(np.stack([middle, middle]))[2][1:]  # the two that are orthogonal to it, whatever its length
    keys, offsets, span = keys_of(points, np.ascontiguousarray(axes), width)
    order = np.argsort(keys)
    keys = keys.take(order)
    slack = ROUNDING + 4 * float(np.spacing(keys[-1])) if len(keys) else ROUNDING
    return Strips(order, points.take(order, axis=0), keys, offsets.take(order), span, width, slack)

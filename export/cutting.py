"""Sorted rows -> the partitions of a catalogue: the coarsest pixels that have no more rows than they may."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from export.spill import Spill
from partitioner.healpix import BASE_PIXELS, Pixels
from partitioner.pixel import HealpixPixel

ALL_SKY: Final = tuple(HealpixPixel(0, ipix) for ipix in range(BASE_PIXELS))

MAX_ORDER: Final = 12
"""Finest order of a partition, 51 arcsec: what is denser has more rows. Margins are some arcseconds."""


@dataclass(frozen=True)
class Cut:
    """A pixel of the tiling, with its rows in the order of their pixels; they are given once, before the next cut is asked for."""

    pixel: HealpixPixel
    rows: int
    tables: Iterator[pa.Table]


def cuts(spill: Spill, roots: tuple[HealpixPixel, ...], max_rows: int, max_order: int = MAX_ORDER) -> Iterator[Cut]:
    """Yield pixels that tile the roots, along the NESTED curve, those without rows too.

    Parameters
    ----------
    roots
        Pixels in which all rows are.
    max_rows
        A pixel with more is divided in four, down to ``max_order``.
    """
    for root in roots:
        yield from _cuts(spill, root, max_rows, max_order)


def _cuts(spill: Spill, pixel: HealpixPixel, max_rows: int, max_order: int) -> Iterator[Cut]:
    held = spill.held()
    if held is not None:
        yield from _cuts_of_table(*held, pixel, max_rows, max_order)
        return
    rows = spill.count(pixel)
    if rows <= max_rows or pixel.order >= max_order:
        yield Cut(pixel, rows, spill.tables(pixel))
    elif pixel.order < spill.fine:
        for child in pixel.children:
            yield from _cuts(spill, child, max_rows, max_order)
    else:
        with spill.opened(pixel.ipix) as inner:
            yield from _cuts(inner, pixel, max_rows, max_order)


def _cuts_of_table(table: pa.Table, pixels: Pixels, pixel: HealpixPixel, max_rows: int, max_order: int) -> Iterator[Cut]:
    first, last = np.searchsorted(pixels, pixel.range29).tolist()
    if last - first <= max_rows or pixel.order >= max_order:
        yield Cut(pixel, last - first, iter([table.slice(first, last - first)]))
        return
    for child in pixel.children:
        yield from _cuts_of_table(table, pixels, child, max_rows, max_order)

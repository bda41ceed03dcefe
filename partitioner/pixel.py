"""A HEALPix pixel as a value."""

from dataclasses import dataclass
from typing import Self

from partitioner.healpix import BASE_PIXELS, ORDER


@dataclass(frozen=True, order=True, slots=True)
class HealpixPixel:
    """A NESTED HEALPix pixel, sorted by order, then number.

    Raises
    ------
    ValueError
        ``order`` is outside [0, 29] or ``ipix`` is no pixel of it.
    """

    order: int
    ipix: int

    def __post_init__(self) -> None:
        if not 0 <= self.order <= ORDER:
            msg = f"HEALPix order {self.order} is outside 0 to {ORDER}"
            raise ValueError(msg)
        if not 0 <= self.ipix < BASE_PIXELS << (2 * self.order):
            msg = f"HEALPix order {self.order} has no pixel {self.ipix}"
            raise ValueError(msg)

    @classmethod
    def from_nuniq(cls, nuniq: int) -> Self:
        """Return the pixel of a NUNIQ number (IVOA MOC 2.0, 4.2)."""
        order = (int(nuniq).bit_length() - 1) // 2 - 1
        if order < 0:
            msg = f"{nuniq} is not the NUNIQ of a HEALPix pixel: those start at 4"
            raise ValueError(msg)
        return cls(order, int(nuniq) - (4 << (2 * order)))

    @property
    def nuniq(self) -> int:
        """``4 * 4**order + ipix``."""
        return (4 << (2 * self.order)) + self.ipix

    @property
    def range29(self) -> tuple[int, int]:
        """Half-open range of the order-29 pixels within."""
        shift = 2 * (ORDER - self.order)
        return self.ipix << shift, (self.ipix + 1) << shift

    @property
    def parent(self) -> Self:
        """The pixel of the next coarser order that contains this one."""
        return type(self)(self.order - 1, self.ipix >> 2)

    @property
    def children(self) -> tuple[Self, Self, Self, Self]:
        """The four pixels of the next finer order."""
        cls, order, first = type(self), self.order + 1, self.ipix << 2
        return cls(order, first), cls(order, first + 1), cls(order, first + 2), cls(order, first + 3)

    def contains(self, other: "HealpixPixel") -> bool:
        """Whether ``other`` is this pixel or lies within it."""
        return other.order >= self.order and other.ipix >> (2 * (other.order - self.order)) == self.ipix

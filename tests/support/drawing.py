"""Random numbers by counter: each depends on seed, name and row number alone, so blocks of any size give the same rows.

The generator is SplitMix64 (Steele, Lea and Flood 2014), whose n-th number is a function of n.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""SplitMix64's increment, 2**64 over the golden ratio."""

MANTISSA_BITS = 53


@dataclass(frozen=True)
class Draw:
    """Draws for rows of the numbers ``row`` (uint64, shape (n,)) of one table."""

    seed: int
    table: str
    row: np.ndarray

    def bits(self, name):
        """Return 64 random bits a row, as uint64."""
        digest = hashlib.blake2b(f"{self.seed}/{self.table}/{name}".encode(), digest_size=8).digest()
        mixed = self.row * GOLDEN + np.frombuffer(digest, np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))

    def uniform(self, name, low=0.0, high=1.0):
        """Return doubles in [low, high)."""
        return low + (high - low) * (self.bits(name) >> np.uint64(64 - MANTISSA_BITS)) * 2.0**-MANTISSA_BITS

    def normal(self, name, mean=0.0, sigma=1.0):
        """Return normal doubles, by Box and Muller (1958)."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(f"{name} radius")))
        return mean + sigma * radius * np.cos(2 * np.pi * self.uniform(f"{name} angle"))

    def integers(self, name, low, high, kind=np.int64):
        """Return integers in [low, high)."""
        return (low + (self.bits(name) % np.uint64(high - low)).astype(np.int64)).astype(kind)

    def chance(self, name, share):
        """Return booleans that are true for a share of the rows."""
        return self.uniform(name) < share

    def choice(self, name, values, kind=None):
        """Return an Arrow array of values from a list, which may hold None."""
        return pa.array(values, kind).take(pa.array(self.integers(name, 0, len(values))))

    def with_nulls(self, name, values, share=0.03, kind=None):
        """Return values as an Arrow array in which a share is NULL; NaN stays NaN."""
        return pa.array(values, kind, mask=self.chance(f"{name} is null", share), from_pandas=False)

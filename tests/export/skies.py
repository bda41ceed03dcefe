"""Rows on the sky: where it is empty, dense, at its poles, or has one star."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from partitioner.healpix import pixel_of

BIGSKY = Path(__file__).parents[3] / "shared" / "data" / "stars" / "bigsky_mag11.parquet"


def positions(kind):
    """Return (ra, dec) in degrees."""
    random = np.random.default_rng(7)
    match kind:
        case "whole":
            return random.uniform(0, 360, 20_000), np.degrees(np.arcsin(random.uniform(-1, 1, 20_000)))
        case "dense":
            ra, dec = positions("whole")
            return np.append(ra[:3000], random.normal(180, 0.5, 9000)), np.append(dec[:3000], random.normal(1, 0.5, 9000))
        case "poles":
            dec = np.append(90 - random.exponential(0.5, 2000), -90 + random.exponential(0.5, 2000))
            ra = np.append(random.uniform(0, 360, 2000), random.normal(0, 0.01, 2000) % 360)
            return ra, np.append(dec[:-2], [90.0, -90.0])
        case "one":
            return np.array([0.0]), np.array([0.0])
        case _:
            return np.empty(0), np.empty(0)


def sky(kind):
    """Return rows with their pixels, in no order."""
    ra, dec = positions(kind)
    names = pa.array([f"star {number}" for number in range(len(ra))], pa.string())
    columns = {"_healpix_29": pa.array(pixel_of(ra, dec), pa.int64()), "id": pa.array(np.arange(len(ra))), "ra": ra, "dec": dec}
    return pa.table({**columns, "name": names})

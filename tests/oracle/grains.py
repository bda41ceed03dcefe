"""Rows of database ``grains``: one row in each of thousands of chunks, and a table whose rows are all in one."""

import healpy
import numpy as np
import pyarrow as pa

SEED = 20261122

ORDER = 4

GRAINS = 8 * 4**ORDER
"""Two thirds of the sky: 2,048 chunks. Each takes about a millisecond in every query that reads all."""

LUMPS = 400

COLOURS = ("red", "green", "Blue", None)


def rows():
    """Return the tables of database ``grains`` by their names."""
    random = np.random.default_rng(SEED)
    ra, dec = healpy.pix2ang(2**ORDER, np.arange(GRAINS), nest=True, lonlat=True)
    number = np.arange(GRAINS)
    lump_ra, lump_dec = ra[1000] + random.uniform(-0.3, 0.3, LUMPS), dec[1000] + random.uniform(-0.3, 0.3, LUMPS)
    return {
        "grain": pa.table(
            {
                "grain_id": pa.array(number * 7 % GRAINS, pa.int32()),
                "ra": ra,
                "dec": dec,
                "size": pa.array(random.lognormal(0, 1, GRAINS).round(6), mask=number % 50 == 0),
                "colour": pa.array(COLOURS).take(pa.array(number % 5 % 4)),
            }
        ),
        "lump": pa.table(
            {
                "lump_id": pa.array(np.arange(LUMPS), pa.int32()),
                "ra": lump_ra,
                "dec": lump_dec,
                "grain_id": pa.array(random.integers(-10, GRAINS, LUMPS), pa.int32(), mask=random.random(LUMPS) < 0.05),
                "weight": random.normal(0, 5, LUMPS),
            }
        ),
    }

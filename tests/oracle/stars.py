"""Rows of database ``sky``, as its files hold them: real stars, and observations made up for them from a fixed seed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schema.catalogues import data_path
from tests.oracle.sphere import displaced

SEED = 20260713

BIGSKY = Path(__file__).parents[3] / "shared" / "data" / "stars" / "bigsky_mag11.parquet"

FAINTEST_MAG = 8.0
"""Of the larger catalogue, stars that are brighter or refer to Hipparcos: a seventh of it, with every pair of the join."""

FIRST_OBSERVATION = 2**53 + 1
"""Keys from here on are not all told apart in double precision."""

FARTHEST_ARCSEC = 30.0

VISITS = 80
"""Visits that observations refer to; those from `KNOWN_VISITS` on are missing in table visit."""

KNOWN_VISITS = 70

NOTES = (
    *("", "fine", "FINE", "it's", 'say "when"', "{t0}", "{", "}}", "{{0}}", "100 %", "a_b", "a%b", "back\\slash", "tab\there"),
    *(
        "line\nbreak",
        " leading",
        "trailing ",
        "NULL",
        "Ωmega",
        "ß",
        "straße",
        "日本",
        "é",
        "e\u0301",
        "zebra",
        "Zebra",
        "--",
        "/* */",
    ),
    *("; DROP", "$1", ":name", "?", None, None),
)


def hipparcos():
    return pq.read_table(data_path("hipparcos.parquet"))


def bigsky():
    """Return the part of the larger catalogue that is tested."""
    whole = pq.read_table(BIGSKY)
    return whole.filter(pc.or_(pc.less(whole["magnitude"], FAINTEST_MAG), pc.is_valid(whole["hip"])))


def observations(stars):
    """Return none to five observations a star, with NULL in every column that may have it."""
    random = np.random.default_rng(SEED)
    each = random.integers(0, 6, len(stars))
    ra, dec = (np.repeat(stars[name].to_numpy(), each) for name in ("ra_degrees", "dec_degrees"))
    count = len(ra)
    ra, dec = displaced(ra, dec, random.uniform(0, FARTHEST_ARCSEC / 3600, count), random.uniform(0, 2 * np.pi, count))
    unplaced = random.random(count) < 0.002
    flux = random.lognormal(5, 2, count) - 20
    days = random.integers(-20_000 * 86_400, 10_000 * 86_400, count) * 1_000_000
    return pa.table(
        {
            "observation_id": FIRST_OBSERVATION + np.arange(count),
            "hip": np.repeat(stars["hip"].to_numpy(), each),
            "ra": pa.array(ra, mask=unplaced, from_pandas=True),
            "dec": pa.array(dec, mask=unplaced, from_pandas=True),
            "Flux": pa.array(flux, mask=random.random(count) < 0.05),
            "flux_err": pa.array(np.abs(flux).astype(np.float32) / np.float32(10), mask=random.random(count) < 0.1),
            "visit": pa.array(random.integers(1, VISITS + 1, count).astype(np.int32), mask=random.random(count) < 0.03),
            "quality": pa.array(random.integers(-3, 4, count).astype(np.int16), mask=random.random(count) < 0.2),
            "good": pa.array(random.random(count) < 0.7, mask=random.random(count) < 0.1),
            "note": pa.array(NOTES, pa.string()).take(pa.array(random.integers(0, len(NOTES), count))),
            "taken": pa.array(days + random.integers(0, 1_000_000, count), pa.timestamp("us"), mask=random.random(count) < 0.04),
        }
    )


def visits():
    number = np.arange(1, KNOWN_VISITS + 1, dtype=np.int32)
    names = np.array(["u", "g", "r", "i", "Ü", None], dtype=object)
    return pa.table(
        {
            "visit": number,
            "filter": pa.array(names[number % 6], pa.string()),
            "airmass": pa.array(1 + (number % 7) / 8, mask=number % 11 == 0),
            "started": pa.array(number.astype(np.int64) * 86_400_000_123 + 10**15, pa.timestamp("us")),
        }
    )


def filters():
    return pa.table(
        {
            "filter": ["u", "g", "r", "i", "y", "Ü"],
            "width": pa.array([64.0, 147.0, 139.5, None, 98.0, 1.0]),
            "Remark": ["", None, "{red}", "it's", "unused", "日本"],
        }
    )


def rows(*, with_bigsky):
    """Return the tables of database ``sky`` by their names."""
    stars = hipparcos()
    tables = {"hipparcos": stars, "observation": observations(stars), "visit": visits(), "filter": filters()}
    return tables | ({"bigsky": bigsky()} if with_bigsky else {})

"""Rows of table object of the synthetic survey: 66 columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.support.drawing import Draw

FIRST_OBJECT = 2**55 + 1
"""Keys from here on are not all told apart in double precision, not even in steps of `KEY_STEP`."""

KEY_STEP = 3

BANDS = "ugrizy"

AB_ZERO_MAG = 31.4
"""AB magnitude of 1 nJy."""

KINDS = ("STAR", "GALAXY", "QSO", "star", "Étoile", "it's", "", None)
NOTES = (
    *(
        "plain",
        "Plain",
        "it's",
        'say "hi"',
        "50 %",
        "a_b",
        "back\\slash",
        "tab\there",
        "{t0}",
        "日本",
        "Ωmega",
        "ß",
        "é",
        "e\u0301",
    ),
    *(" blank ", "", "NULL", "a,b", "line\nbreak", None, None),
)

SPECIAL_SCORES = (float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 1e300)

DAY_US = 86_400_000_000

FIRST_DAY = 20_270
"""Days from 1970 to the first night, 2025-07-01."""


def keys(index):
    return FIRST_OBJECT + KEY_STEP * index


def magnitudes(seed, index):
    """Return AB magnitudes of objects, shape (n,); their dependents and counterparts take them too. More objects are faint."""
    return 15 + 12 * np.sqrt(Draw(seed, "magnitude", index.astype(np.uint64)).uniform("r"))


def fluxes(magnitude):
    """Return nJy."""
    return 10 ** (0.4 * (AB_ZERO_MAG - magnitude))


def rows(places, start, stop):
    """Return the objects of numbers ``start`` to ``stop``, as a table."""
    index = np.arange(start, stop, dtype=np.int64)
    draw = Draw(places.seed, "object", index.astype(np.uint64))
    ra, dec = places.of(index)
    magnitude = magnitudes(places.seed, index)
    colour = draw.normal("colour", 0.6, 0.4)
    night = draw.integers("night", 0, 900)
    seen = (FIRST_DAY + night) * DAY_US + draw.integers("time", 0, DAY_US)
    last = seen + draw.integers("until", 0, 700 * DAY_US)
    parent = np.maximum(index - draw.integers("parent", 1, 500), 0)
    score = draw.normal("score", 0, 50)
    special = draw.chance("special", 0.02)
    score[special] = np.array(SPECIAL_SCORES)[draw.integers("which", 0, len(SPECIAL_SCORES))[special]]
    columns = {
        "object_id": keys(index),
        "ra": pa.array(ra, from_pandas=True),
        "dec": pa.array(dec, from_pandas=True),
        "ra_err": draw.with_nulls("ra_err", np.abs(draw.normal("ra_err", 0, 0.05)).astype(np.float32)),
        "dec_err": draw.with_nulls("dec_err", np.abs(draw.normal("dec_err", 0, 0.05)).astype(np.float32)),
        "parent_id": draw.with_nulls("parent", keys(parent), 0.85),
        "field": (index % 7).astype(np.int16),
        "tract": draw.with_nulls("tract", draw.integers("tract", 0, 40, np.int32), 0.02),
        "patch": draw.with_nulls("patch", draw.integers("patch", 0, 9, np.int16), 0.05),
        "Kind": draw.choice("kind", KINDS, pa.string()),
        "name": pc.binary_join_element_wise("SVY-", pc.cast(pa.array(index), pa.string()), ""),
        "note": draw.choice("note", NOTES, pa.string()),
        "magnitude": draw.with_nulls("magnitude", magnitude.round(4), 0.01),
        "parallax": draw.with_nulls("parallax", draw.normal("parallax", 0.2, 2), 0.1),
        "parallax_err": draw.with_nulls("parallax_err", np.abs(draw.normal("parallax_err", 1, 0.3)).astype(np.float32), 0.1),
        "pm_ra": draw.with_nulls("pm_ra", draw.normal("pm_ra", 0, 20), 0.1),
        "pm_dec": draw.with_nulls("pm_dec", draw.normal("pm_dec", -3, 20), 0.1),
        "redshift": draw.with_nulls("redshift", draw.uniform("redshift", 0, 1) ** 2 * 6, 0.6),
        "score": draw.with_nulls("score", score, 0.05),
        "shape_xx": draw.with_nulls("xx", draw.uniform("xx", 0.1, 9).astype(np.float32)),
        "shape_yy": draw.with_nulls("yy", draw.uniform("yy", 0.1, 9).astype(np.float32)),
        "shape_xy": draw.with_nulls("xy", draw.uniform("xy", -1, 1).astype(np.float32)),
        "first_seen": draw.with_nulls("seen", seen, 0.01, pa.timestamp("us")),
        "last_seen": draw.with_nulls("last", last, 0.04, pa.timestamp("us")),
        "is_primary": draw.chance("primary", 0.8),
        "is_variable": draw.with_nulls("variable", draw.chance("variable", 0.1), 0.2),
        "flags": draw.integers("flags", 0, 2**20, np.int32),
        "mask": draw.with_nulls("mask", draw.bits("mask").view(np.int64), 0.02),
        "depth": draw.with_nulls("depth", draw.integers("depth", -3, 4, np.int16), 0.1),
    }
    for place, band in enumerate(BANDS):
        columns |= _band(draw, band, fluxes(magnitude + colour * (2 - place) / 2))
    return pa.table(columns)


def _band(draw, band, flux):
    """Return the columns of one band; faint fluxes are negative where noise is larger, as in forced photometry."""
    error = 20 + 0.01 * flux
    measured = flux + error * draw.normal(f"{band} noise")
    model = measured * draw.uniform(f"{band} model", 0.9, 1.3)
    nan = draw.chance(f"{band} nan", 0.005)
    return {
        f"{band}_flux": draw.with_nulls(f"{band}_flux", np.where(nan, np.nan, measured).astype(np.float32)),
        f"{band}_flux_err": draw.with_nulls(f"{band}_flux_err", error.astype(np.float32)),
        f"{band}_model_flux": draw.with_nulls(f"{band}_model_flux", model, 0.05),
        f"{band}_extendedness": draw.with_nulls(f"{band}_ext", draw.uniform(f"{band} ext").astype(np.float32), 0.1),
        f"{band}_n_obs": draw.integers(f"{band} n", 0, 200, np.int16),
        f"{band}_flag": draw.with_nulls(f"{band}_flag", draw.chance(f"{band} flag", 0.05), 0.01),
    }

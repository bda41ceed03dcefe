"""Rows of the dependents of table object (source, forced_source), and of the visits that they refer to."""

import numpy as np
import pyarrow as pa

from tests.oracle.sphere import displaced
from tests.support import objects
from tests.support.drawing import Draw

MOST_SOURCES = 8
"""Of an object; none to so many, 4 on average."""

FORCED_EVERY = 3
"""Of so many objects, one has forced photometry, in `FORCED_VISITS` visits."""

FORCED_VISITS = 5

VISITS = 400

KNOWN_VISITS = 380
"""Sources refer to visits that table ccd_visit lacks, from here on."""

FIRST_SOURCE = 2**57 + 1

ROOM_FOR_SOURCES = 16
"""Keys of an object's sources begin at so many times its number."""

FARTHEST_ARCSEC, USUAL_ARCSEC = 25.0, 0.3

NOTES = ("ok", "edge", "it's", "cosmic ray", "ghost?", "é", "100 %", None)


def sources(places, start, stop):
    """Return the sources of the objects of numbers ``start`` to ``stop``."""
    index = np.arange(start, stop, dtype=np.int64)
    each = Draw(places.seed, "sources of", index.astype(np.uint64)).integers("count", 0, MOST_SOURCES + 1)
    owner = np.repeat(index, each)
    number = owner * ROOM_FOR_SOURCES + np.arange(len(owner)) - np.repeat(np.cumsum(each) - each, each)
    draw = Draw(places.seed, "source", number.astype(np.uint64))
    far = draw.chance("far", 0.01)
    arcsec = np.where(far, draw.uniform("far arcsec", 0, FARTHEST_ARCSEC), draw.uniform("arcsec", 0, USUAL_ARCSEC))
    ra, dec = displaced(*places.of(owner), arcsec / 3600, draw.uniform("direction", 0, 2 * np.pi))
    unplaced = draw.chance("unplaced", 0.002)
    visit = draw.integers("visit", 1, VISITS + 1, np.int32)
    flux = objects.fluxes(objects.magnitudes(places.seed, owner))
    error = 30 + 0.02 * flux
    measured = flux + error * draw.normal("noise")
    taken = _taken(visit) + draw.integers("exposure", 0, 30_000_000)
    return pa.table(
        {
            "source_id": FIRST_SOURCE + number,
            "object_id": objects.keys(owner),
            "visit_id": draw.with_nulls("visit", visit, 0.01),
            "ra": pa.array(np.where(unplaced, np.nan, ra), from_pandas=True),
            "dec": pa.array(np.where(unplaced, np.nan, dec), from_pandas=True),
            "band": pa.array(list(objects.BANDS)).take(pa.array(visit % 6)),
            "flux": draw.with_nulls("flux", measured.astype(np.float32)),
            "flux_err": draw.with_nulls("flux_err", error.astype(np.float32)),
            "ap_flux": draw.with_nulls("ap_flux", measured * draw.uniform("aperture", 0.8, 1.2)),
            "snr": draw.with_nulls("snr", (measured / error).astype(np.float32)),
            "sky": draw.uniform("sky", 100, 4000).astype(np.float32),
            "x": draw.uniform("x", 0, 4096).astype(np.float32),
            "y": draw.uniform("y", 0, 4096).astype(np.float32),
            "fwhm": draw.with_nulls("fwhm", np.abs(draw.normal("fwhm", 0.8, 0.2))),
            "flags": draw.integers("flags", 0, 2**12, np.int32),
            "quality": draw.with_nulls("quality", draw.integers("quality", -2, 5, np.int16), 0.1),
            "is_dipole": draw.with_nulls("dipole", draw.chance("dipole", 0.05), 0.3),
            "taken": draw.with_nulls("taken", taken, 0.01, pa.timestamp("us")),
            "processed": draw.with_nulls("processed", taken + draw.integers("delay", 0, objects.DAY_US), 0.2, pa.timestamp("us")),
            "note": draw.choice("note", NOTES, pa.string()),
        }
    )


def forced_sources(places, start, stop):
    """Return the forced photometry of the objects of numbers ``start`` to ``stop``; the key is object and visit together."""
    index = np.arange(start, stop, dtype=np.int64)
    owner = np.repeat(index[index % FORCED_EVERY == 0], FORCED_VISITS)
    step = np.tile(np.arange(FORCED_VISITS), len(owner) // FORCED_VISITS)
    draw = Draw(places.seed, "forced", (owner * FORCED_VISITS + step).astype(np.uint64))
    visit = ((owner + 77 * step) % VISITS + 1).astype(np.int32)
    flux = objects.fluxes(objects.magnitudes(places.seed, owner))
    return pa.table(
        {
            "object_id": objects.keys(owner),
            "visit_id": visit,
            "flux": draw.with_nulls("flux", (flux + 25 * draw.normal("noise")).astype(np.float32), 0.05),
            "flux_err": draw.with_nulls("flux_err", draw.uniform("error", 20, 40).astype(np.float32), 0.05),
            "flag": draw.with_nulls("flag", draw.chance("flag", 0.1), 0.05),
            "taken": pa.array(_taken(visit), pa.timestamp("us")),
        }
    )


def visits(seed):
    """Return the visits that are known; the same at every size of the survey."""
    visit = np.arange(1, KNOWN_VISITS + 1, dtype=np.int32)
    draw = Draw(seed, "visit", visit.astype(np.uint64))
    return pa.table(
        {
            "visit_id": visit,
            "band": pa.array([*objects.BANDS, None]).take(pa.array(np.where(visit % 97 == 0, 6, visit % 6))),
            "airmass": draw.with_nulls("airmass", draw.uniform("airmass", 1, 2.2)),
            "seeing": draw.with_nulls("seeing", draw.uniform("seeing", 0.4, 1.9).astype(np.float32), 0.05),
            "exposure_s": draw.choice("exposure", [15, 30, 30, 30, None], pa.int16()),
            "ra": draw.uniform("ra", 0, 360),
            "dec": draw.uniform("dec", -80, 10),
            "started": pa.array(_taken(visit), pa.timestamp("us")),
            "program": draw.choice("program", ["wide", "deep", "Deep", "it's", None], pa.string()),
            "good": draw.with_nulls("good", draw.chance("good", 0.9), 0.05),
        }
    )


def _taken(visit):
    """Return when a visit began, in microseconds since 1970."""
    number = visit.astype(np.int64)
    return (objects.FIRST_DAY + number * 2) * objects.DAY_US + number % 7 * 3_600_000_123

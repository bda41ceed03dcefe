"""Rows of the two reference catalogues, and of the tables that match them with the objects."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.oracle.sphere import displaced, unit_vectors
from tests.support import objects
from tests.support.drawing import Draw
from tests.support.places import is_companion

EVERY = {"bright_ref": 6, "deep_ref": 2}
"""Of so many objects, one is in the catalogue. Of 6, the 18th of each 20 now and then, whose companion is matched too."""

FIRST_KEY = {"bright_ref": 10**18, "deep_ref": -(10**15)}

USUAL_ARCSEC, FARTHEST_ARCSEC = 1.5, 150.0
"""How far a counterpart is from its object; one in `FAR_SHARE` up to the farthest, so that pairs lie across edges of chunks."""

FAR_SHARE = 0.03

ALONE_EVERY = 11
"""Of so many rows, one is at a place of its own and has no object."""


def catalogue(name, places, start, stop):
    """Return the rows of a reference catalogue for the objects of numbers ``start`` to ``stop``."""
    index = np.arange(start, stop, dtype=np.int64)
    index = index[index % EVERY[name] == 0]
    draw = Draw(places.seed, name, index.astype(np.uint64))
    ra, dec = _near(name, places, index)
    magnitude = objects.magnitudes(places.seed, index) + draw.normal("offset", 0.1, 0.2)
    common = {"ref_id": keys(name, index), "ra": ra, "dec": dec}
    if name == "bright_ref":
        return pa.table(
            common
            | {
                "designation": pc.binary_join_element_wise("BR ", pc.cast(pa.array(index), pa.string()), ""),
                "g_mag": draw.with_nulls("g_mag", magnitude, 0.02),
                "bp_rp": draw.with_nulls("bp_rp", draw.normal("bp_rp", 1, 0.6).astype(np.float32), 0.1),
                "parallax": draw.with_nulls("parallax", draw.normal("parallax", 0.2, 2), 0.1),
                "epoch": draw.choice("epoch", [2015.5, 2016.0], pa.float64()),
                "variable": draw.with_nulls("variable", draw.chance("variable", 0.2), 0.1),
            }
        )
    return pa.table(
        common
        | {
            "flux": draw.with_nulls("flux", objects.fluxes(magnitude).astype(np.float32), 0.02),
            "photo_z": draw.with_nulls("photo_z", draw.uniform("photo_z", 0, 3), 0.3),
            "class": draw.choice("class", ["galaxy", "star", "agn", "Galaxy", None], pa.string()),
            "added": draw.with_nulls(
                "added", objects.FIRST_DAY * objects.DAY_US - draw.integers("added", 0, 10**15), 0.05, pa.timestamp("us")
            ),
        }
    )


def matches(name, places, start, stop):
    """Return the pairs of objects and a catalogue's rows: each with its object, and with that object's companion."""
    index = np.arange(start, stop, dtype=np.int64)
    own = index[index % EVERY[name] == 0]
    # A companion's pair is made with the companion, whose number is the larger: then the other row is there, too.
    beside = index[is_companion(index) & ((index - 1) % EVERY[name] == 0)]
    parts = [_pairs(name, places, own, own, 1), _pairs(name, places, beside, beside - 1, 2)]
    return pa.concat_tables(parts)


def _pairs(name, places, partner, index, rank):
    ra, dec = places.of(partner)
    found = ~np.isnan(ra) & ~_elsewhere(name, index, places.of(index)[0])
    partner, index = partner[found], index[found]
    draw = Draw(places.seed, f"{name} match {rank}", index.astype(np.uint64))
    return pa.table(
        {
            "object_id": objects.keys(partner),
            "ref_id": keys(name, index),
            "separation_arcsec": _arcsec(ra[found], dec[found], *_near(name, places, index)),
            "rank": np.full(len(index), rank, np.int16),
            "accepted": draw.with_nulls("accepted", draw.chance("accepted", 0.9), 0.05),
        }
    )


def keys(name, index):
    return FIRST_KEY[name] + 7 * index


def _elsewhere(name, index, ra):
    """Whether a row is at a place of its own: one in some, and where the object is at none."""
    return (index // EVERY[name] % ALONE_EVERY == 0) | np.isnan(ra)


def _near(name, places, index):
    """Return positions near those of objects; all over the sky where the object has none, or the row is alone."""
    draw = Draw(places.seed, f"{name} place", index.astype(np.uint64))
    far = draw.chance("far", FAR_SHARE)
    arcsec = np.where(far, draw.uniform("far arcsec", 0, FARTHEST_ARCSEC), draw.uniform("arcsec", 0, USUAL_ARCSEC))
    near = displaced(*places.of(index), arcsec / 3600, draw.uniform("direction", 0, 2 * np.pi))
    own = draw.uniform("ra", 0, 360), np.degrees(np.arcsin(draw.uniform("dec", -1, 1)))
    elsewhere = _elsewhere(name, index, near[0])
    return tuple(np.where(elsewhere, mine, there) for mine, there in zip(own, near, strict=True))


def _arcsec(ra, dec, ref_ra, ref_dec):
    chord = np.linalg.norm(unit_vectors(ra, dec) - unit_vectors(ref_ra, ref_dec), axis=1)
    return np.degrees(2 * np.arcsin(chord / 2)) * 3600

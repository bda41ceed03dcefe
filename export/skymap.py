"""How many rows are where on the sky: a HEALPix map in FITS (Data formats for gamma-ray astronomy, section "Skymaps")."""

from pathlib import Path
from typing import Final

import numpy as np
from astropy.io import fits

from partitioner.healpix import Pixels

SKYMAP_ORDER: Final = 8
"""Pixels of 14 arcmin: what HATS has at the least."""

NAMES: Final = ("skymap.fits", "point_map.fits")
"""Of today, and of before, which readers take coverage from."""


def write_skymap(directory: Path, counts: Pixels) -> None:
    """Write the rows of each pixel of one order: of all of them, or of those that have some where these are fewer than half."""
    some = np.flatnonzero(counts)
    is_sparse = 2 * len(some) < len(counts)
    columns = [fits.Column("PIXEL", "K", array=some)] if is_sparse else []
    columns.append(fits.Column("VALUE", "K", array=counts[some] if is_sparse else counts))
    table = fits.BinTableHDU.from_columns(columns)
    nside = round((len(counts) / 12) ** 0.5)
    table.header.update(
        {
            "PIXTYPE": "HEALPIX",
            "ORDERING": "NESTED",
            "COORDSYS": "C",
            "NSIDE": nside,
            "INDXSCHM": "EXPLICIT" if is_sparse else "IMPLICIT",
            **({"OBS_NPIX": len(some)} if is_sparse else {"FIRSTPIX": 0, "LASTPIX": len(counts) - 1}),
        }
    )
    for name in NAMES:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(directory / name)

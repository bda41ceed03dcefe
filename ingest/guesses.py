"""What the name of a column in a file suggests: its UCD, and whether it is a position or a key.

UCDs are of the UCD1+ controlled vocabulary (IVOA Recommendation, version 1.5). Names are those of surveys: Gaia, SDSS, Pan-STARRS,
2MASS, LSST, VizieR. A guess is for a person to look at.
"""

import re
from collections.abc import Sequence
from typing import Final

POSITIONS: Final = (
    ("ra", "dec"),
    ("ra", "decl"),
    ("coord_ra", "coord_dec"),
    ("ra_deg", "dec_deg"),
    ("ra_degrees", "dec_degrees"),
    ("radeg", "dedeg"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("raj2000", "dej2000"),
    ("_raj2000", "_dej2000"),
    ("ra_j2000", "dec_j2000"),
    ("ramean", "decmean"),
    ("rastack", "decstack"),
    ("meanra", "meandec"),
    ("ra_mean", "dec_mean"),
    ("rightascension", "declination"),
    ("right_ascension", "declination"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("ra_x", "dec_x"),
)
"""Names of right ascension and declination, in lower case, those that are most surely of the row's own position first."""

KEY_NAMES: Final = ("{table}_id", "{table}id", "id", "source_id", "object_id", "objectid", "objid", "obj_id", "designation_id")
"""Names of a table's own key, in lower case, the likeliest first."""

ERROR: Final = re.compile(r"^(e|err|error|sigma|sig|unc|s)_(?P<after>.+)$|^(?P<before>.+?)_?(err|error|sigma|unc|uncertainty|rms)$")
"""Of a column that holds the error of another one."""

MAGNITUDE: Final = re.compile(r"^(?P<first>[ubvrijhkgyz])_?(mag|magnitude)$|^(mag|magnitude)_(?P<last>[ubvrijhkgyz])$")
BANDS: Final = {
    **dict.fromkeys("bg", "opt.B"),
    **dict.fromkeys("iz", "opt.I"),
    **dict.fromkeys("yj", "IR.J"),
    "u": "opt.U",
    "v": "opt.V",
    "r": "opt.R",
    "h": "IR.H",
    "k": "IR.K",
}
"""Parts of the spectrum in which the bands of these letters are, below ``em``."""

FRAME: Final = r"(_?(deg|degrees|icrs|j?\d{4}|mean|stack|x))?"
"""What may follow right ascension or declination in a name."""

MEASURED: Final = ("pos.", "phot.", "phys.", "spect.", "src.redshift")
"""Begins of the UCDs of what has an error."""

UNITS: Final = {
    **dict.fromkeys(("mas_per_year", "mas_yr", "masyr", "mas_per_yr"), "mas.yr**-1"),
    **dict.fromkeys(("arcsec", "asec"), "arcsec"),
    **dict.fromkeys(("km_s", "kms", "km_per_s"), "km.s**-1"),
    **dict.fromkeys(("njy", "nanojansky"), "nJy"),
    **dict.fromkeys(("deg", "degrees"), "deg"),
    **dict.fromkeys(("hours", "hour"), "h"),
    **dict.fromkeys(("years", "year", "yr"), "yr"),
    "mas": "mas",
    "arcmin": "arcmin",
    "jy": "Jy",
    "pc": "pc",
    "kpc": "kpc",
}
"""Endings of names that are units, in lower case, longer ones before those that they end with."""

UCDS: Final[Sequence[tuple[str, str]]] = (
    (r"(pm_?ra(_?cosdec)?|pmra_?\w*|mu_?alpha\w*)", "pos.pm;pos.eq.ra"),
    (r"(pm_?de(c|cl)?\w*|mu_?delta\w*)", "pos.pm;pos.eq.dec"),
    (r"(parallax|plx|prlx)", "pos.parallax.trig"),
    (rf"_?ra{FRAME}|(coord|mean)_?ra|right_?ascension|alpha(win)?_j2000", "pos.eq.ra"),
    (rf"_?de(c|cl)?{FRAME}|dedeg|(coord|mean)_?dec|declination|delta(win)?_j2000", "pos.eq.dec"),
    (r"(glon|gal_?l(on)?|l)", "pos.galactic.lon"),
    (r"(glat|gal_?b|gal_?lat|b)", "pos.galactic.lat"),
    (r"(elon|ecl_?lon)", "pos.ecliptic.lon"),
    (r"(elat|ecl_?lat)", "pos.ecliptic.lat"),
    (r"(healpix\w*|hpx\w*|ipix)", "pos.healpix"),
    (r"(z_?(spec|phot|best)|redshift\w*|zspec|zphot)", "src.redshift"),
    (r"(rv|radial_?velocity|vrad|hrv)", "spect.dopplerVeloc"),
    (r"(mjd\w*|jd|hjd|bjd|epoch\w*|(ref|obs)_?epoch|obs_?time|time|date_?obs|\w+_time)", "time.epoch"),
    (r"(exp_?time|exposure(_?time)?)", "time.duration;obs.exposure"),
    (r"(snr|s_?n|signal_?to_?noise)", "stat.snr"),
    (r"(\w*mag|mag\w*|magnitude)", "phot.mag"),
    (r"(\w*flux\w*)", "phot.flux"),
    (r"(b_?v|g_?r|r_?i|i_?z|bp_?rp|\w*colou?r)", "phot.color"),
    (r"(ebv|e_b_v|a_?[vg]|extinction\w*)", "phys.absorption"),
    (r"(teff\w*)", "phys.temperature.effective"),
    (r"(logg\w*)", "phys.gravity"),
    (r"(fe_?h|feh|metallicity|\w*_m_h_\w*|mh)", "phys.abund.Z"),
    (r"(sp_?type|spectral_?type)", "src.spType"),
    (r"(class|type|obj_?type|kind|star_?galaxy)", "src.class"),
    (r"(band|filter|filt)", "instr.bandpass"),
    (r"(n_?obs\w*|\w*_n_obs|n_?det\w*|\w*_count)", "meta.number"),
    (r"(\w*flags?|quality|qual|\w*_flag_\w*)", "meta.code.qual"),
    (r"(name|designation|main_?id)", "meta.id"),
    (r"(\w*id|hip|tyc\w*|hd|\w*_key)", "meta.id"),
)
"""Forms of names, in lower case, and their UCDs: the first one that fits counts."""


def guessed_ucd(name: str) -> str | None:
    """Return the UCD that the name of a column suggests, if it suggests one."""
    small = name.lower()
    error = ERROR.match(small)
    measured = (error["after"] or error["before"]) if error else None
    of = guessed_ucd(measured) if measured else None
    if of and of.startswith(MEASURED):
        return f"stat.error;{of}"
    magnitude = MAGNITUDE.match(small)
    if magnitude:
        return f"phot.mag;em.{BANDS[magnitude['first'] or magnitude['last']]}"
    return next((ucd for form, ucd in UCDS if re.fullmatch(form, small)), None)


def guessed_unit(name: str) -> tuple[str, str | None]:
    """Return a name without the unit that it ends with, and that unit (VOUnit), if it ends with one."""
    small = name.lower()
    ending = next((ending for ending in UNITS if small.endswith(f"_{ending}")), None)
    return (name, None) if ending is None else (name[: -len(ending) - 1], UNITS[ending])


def key_rank(name: str, table: str, place: int) -> tuple[int, int]:
    """Return how likely a column is a table's own key; the least one is the likeliest. ``place`` is its place in the table."""
    small = name.lower()
    names = [form.format(table=table.lower()) for form in KEY_NAMES]
    if small in names:
        return names.index(small), place
    return len(names) + (0 if small.endswith("id") else 1), place


def position_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of columns that look like right ascension and declination, the likeliest first."""
    known = {name.lower(): name for name in reversed(names)}
    return [(known[ra], known[dec]) for ra, dec in POSITIONS if ra in known and dec in known]

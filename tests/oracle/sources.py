"""The tables that random queries are asked of."""

from tests.oracle.generating import Column, Source

STAR_COLUMNS = (
    Column("h.hip", "integer", ("0", "5", "11767", "60000", "118322", "99999999999999999999")),
    Column("h.ra_degrees", "float", ("0", "10.5", "180", "359.9")),
    Column("h.dec_degrees", "float", ("-90", "-10.5", "0", "85")),
    Column("h.magnitude", "float", ("-1.44", "3", "6.5", "9.1", "12", "99")),
    Column("h.bv", "float", ("-0.2", "0", "0.5", "1.5", "4")),
    Column("h.parallax_mas", "float", ("-5", "0", "10", "300")),
)

OBSERVATION_COLUMNS = (
    Column("o.observation_id", "integer", ("9007199254740993", "9007199254741000", "9007199254840000"), summable=False),
    Column("o.hip", "integer", ("1", "5", "91262", "118322")),
    Column('o."Flux"', "float", ("-10", "0", "100", "50000.5")),
    Column("o.flux_err", "real", ("0", "1.5", "100")),
    Column("o.visit", "integer", ("1", "7", "71", "100")),
    Column("o.quality", "integer", ("-3", "0", "3")),
    Column("o.good", "boolean", ()),
    Column("o.note", "text", ("''", "'fine'", "'Zebra'", "'é'", "'{t0}'", "'it''s'")),
    Column("o.taken", "time", ("'1970-01-01'", "'1996-01-01 12:00:00'", "'2050-01-01'")),
)

POINT_COLUMNS = (
    Column("p.point_id", "integer", ("-32", "0", "31", "9007199254740992", "9007199254741093"), summable=False),
    Column("p.ra", "float", ("0", "45", "90", "359.9")),
    Column("p.dec", "float", ("-90", "0", "41.810314895778596", "90")),
    Column(
        "p.kept",
        "float",
        ("0", "1.5", "1e308", "CAST('NaN' AS DOUBLE PRECISION)", "CAST('-Infinity' AS DOUBLE PRECISION)"),
        summable=False,
    ),
    Column("p.plain", "float", ("0", "-1.5", "1e308", "CAST('Infinity' AS DOUBLE PRECISION)"), summable=False),
    Column("p.size", "float", ("0", "CAST(0.1 AS REAL)", "16777216", "1e38"), summable=False),
    Column("p.big", "integer", ("0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808")),
    Column('p."Kind"', "integer", ("0", "5", "-32768", "40000"), summable=False),
    Column("p.flag", "boolean", ()),
    Column("p.label", "text", ("''", "'a'", "'A'", "'日本'", "' '")),
    Column("p.seen", "time", ("'2000-01-01'", "'9999-12-31'", "'1969-12-31 23:59:59.999999'")),
)

MATE_COLUMNS = (
    Column("m.mate_id", "integer", ("-100", "0", "500", "2000")),
    Column("m.point_id", "integer", ("-5000", "0", "9007199254741093"), summable=False),
    Column("m.weight", "float", ("-10", "0", "5.5")),
)

MARK_COLUMNS = (
    Column("k.mark_id", "integer", ("0", "100", "400")),
    Column("k.point_id", "integer", ("-5", "0", "9007199254741093"), summable=False),
    Column("k.value", "integer", ("-1000", "0", "500")),
)

VISIT_COLUMNS = (
    Column("v.visit", "integer", ("1", "35", "70")),
    Column("v.filter", "text", ("'g'", "'Ü'", "'z'")),
    Column("v.airmass", "float", ("1", "1.25", "2")),
    Column("v.started", "time", ("'2001-09-09'", "'2001-11-01'")),
)

BIGSKY_COLUMNS = (
    Column("b.tycho", "integer", ("100680100029", "500000000000000", "900000000000000")),
    Column("b.tyc_id", "text", ("'1-680-1'", "'5'", "'9'")),
    Column("b.hip", "integer", ("5", "71683", "100000")),
    Column("b.ccdm", "text", ("'A'", "'AB'", "'Z'")),
    Column("b.magnitude", "float", ("0", "6.5", "9")),
)

STARS = ("h.ra_degrees", "h.dec_degrees")
OBSERVED = ("o.ra", "o.dec")
POINTS = ("p.ra", "p.dec")
MATES = ("m.ra", "m.dec")
MARKS = ("k.ra", "k.dec")
BIGSKY = ("b.ra_degrees", "b.dec_degrees")

STAR_GROUPS = ("FLOOR(h.magnitude)", "h.epoch_year", "h.hip % 7", "h.bv IS NULL")
OBSERVATION_GROUPS = ("o.visit", "o.quality", "o.good", "o.note", "EXTRACT(YEAR FROM o.taken)")
POINT_GROUPS = ('p."Kind"', "p.flag", "p.label", "p.kept", "p.size", "p.big", "p.seen")

SOURCES = (
    Source("hipparcos h", STAR_COLUMNS, (STARS,), STAR_GROUPS),
    Source("observation o", OBSERVATION_COLUMNS, (OBSERVED,), OBSERVATION_GROUPS),
    Source("points p", POINT_COLUMNS, (POINTS,), POINT_GROUPS),
    Source("points p", POINT_COLUMNS, (POINTS,), POINT_GROUPS),
    Source("mates m", MATE_COLUMNS, (MATES,), ("m.mate_id % 5", "m.weight IS NULL")),
    Source("marks k", MARK_COLUMNS, (MARKS,), ("k.value % 5", "k.value IS NULL")),
    Source("visit v", VISIT_COLUMNS, (), ("v.filter", "v.airmass")),
    Source(
        "hipparcos h JOIN observation o ON o.hip = h.hip",
        STAR_COLUMNS + OBSERVATION_COLUMNS,
        (STARS, OBSERVED),
        STAR_GROUPS + OBSERVATION_GROUPS,
    ),
    Source(
        "hipparcos h LEFT JOIN observation o ON o.hip = h.hip AND o.visit < 30",
        STAR_COLUMNS + OBSERVATION_COLUMNS,
        (STARS, OBSERVED),
        STAR_GROUPS + OBSERVATION_GROUPS,
    ),
    Source(
        "observation o LEFT JOIN visit v ON v.visit = o.visit",
        OBSERVATION_COLUMNS + VISIT_COLUMNS,
        (OBSERVED,),
        (*OBSERVATION_GROUPS, "v.filter"),
    ),
    Source("points p JOIN marks k ON k.point_id = p.point_id", POINT_COLUMNS + MARK_COLUMNS, (POINTS, MARKS), POINT_GROUPS),
    Source("points p LEFT JOIN marks k ON k.point_id = p.point_id", POINT_COLUMNS + MARK_COLUMNS, (POINTS, MARKS), POINT_GROUPS),
    Source("mates m JOIN points p ON m.point_id = p.point_id", MATE_COLUMNS + POINT_COLUMNS, (MATES, POINTS), POINT_GROUPS),
    Source("mates m LEFT JOIN points p ON m.point_id = p.point_id", MATE_COLUMNS + POINT_COLUMNS, (MATES, POINTS), POINT_GROUPS),
    Source('points p LEFT JOIN kind n ON n."Kind" = p."Kind"', POINT_COLUMNS, (POINTS,), (*POINT_GROUPS, "n.name")),
)

WITH_BIGSKY = (
    Source("bigsky b", BIGSKY_COLUMNS, (BIGSKY,), ("FLOOR(b.magnitude)", "b.ccdm")),
    Source("bigsky b JOIN hipparcos h ON b.hip = h.hip", BIGSKY_COLUMNS + STAR_COLUMNS, (BIGSKY, STARS), ("b.ccdm", *STAR_GROUPS)),
    Source(
        "bigsky b LEFT JOIN hipparcos h ON b.hip = h.hip", BIGSKY_COLUMNS + STAR_COLUMNS, (BIGSKY, STARS), ("b.ccdm", *STAR_GROUPS)
    ),
)

OBJECT_COLUMNS = (
    Column("o.object_id", "integer", ("36028797018963969", "36028797018968469", "1"), summable=False),
    Column("o.ra", "float", ("0", "266.4", "359.9")),
    Column("o.magnitude", "float", ("16", "20.5", "24", "26.9")),
    Column("o.field", "integer", ("0", "3", "6")),
    Column("o.tract", "integer", ("0", "20", "39")),
    Column("o.parent_id", "integer", ("36028797018963969", "36028797018968469"), summable=False),
    Column('o."Kind"', "text", ("'STAR'", "'Étoile'", "'it''s'", "''")),
    Column(
        "o.score", "float", ("0", "50", "CAST('NaN' AS DOUBLE PRECISION)", "CAST('Infinity' AS DOUBLE PRECISION)"), summable=False
    ),
    Column("o.r_flux", "real", ("0", "100", "CAST(2500.5 AS REAL)")),
    Column("o.first_seen", "time", ("'2026-01-01'", "'2027-06-01 12:00:00'")),
    Column("o.is_variable", "boolean", ()),
    Column("o.flags", "integer", ("0", "524288", "1000000")),
)

SOURCE_COLUMNS = (
    Column("s.source_id", "integer", ("144115188075855873", "144115188075879873"), summable=False),
    Column("s.object_id", "integer", ("36028797018963969", "36028797018968469"), summable=False),
    Column("s.visit_id", "integer", ("1", "200", "390")),
    Column("s.band", "text", ("'g'", "'r'", "'z'")),
    Column("s.ap_flux", "float", ("0", "200", "5000")),
    Column("s.snr", "real", ("0", "5", "30")),
    Column("s.quality", "integer", ("-2", "0", "4")),
    Column("s.is_dipole", "boolean", ()),
    Column("s.taken", "time", ("'2026-01-01'", "'2027-01-01'")),
)

FORCED_COLUMNS = (
    Column("f.object_id", "integer", ("36028797018963969", "36028797018968469"), summable=False),
    Column("f.visit_id", "integer", ("1", "200", "390")),
    Column("f.flux", "real", ("0", "100", "3000")),
    Column("f.flag", "boolean", ()),
)

CCD_COLUMNS = (
    Column("v.visit_id", "integer", ("1", "200", "380")),
    Column("v.band", "text", ("'g'", "'r'", "'z'")),
    Column("v.airmass", "float", ("1", "1.5", "2")),
    Column("v.program", "text", ("'deep'", "'wide'", "'it''s'")),
    Column("v.good", "boolean", ()),
)

BRIGHT_COLUMNS = (
    Column("b.ref_id", "integer", ("1000000000000000000", "1000000000000010500"), summable=False),
    Column("b.g_mag", "float", ("16", "20", "25")),
    Column("b.variable", "boolean", ()),
)

MATCH_COLUMNS = (
    Column("n.object_id", "integer", ("36028797018963969", "36028797018968469"), summable=False),
    Column("n.ref_id", "integer", ("-1000000000000000", "-999999999990000"), summable=False),
    Column("n.separation_arcsec", "float", ("0.5", "2", "60")),
    Column("n.rank", "integer", ("1", "2")),
    Column("n.accepted", "boolean", ()),
)

OBJECT_GROUPS = ("o.field", "o.tract", 'o."Kind"', "o.is_variable", "FLOOR(o.magnitude)")

OBJECTS = Source("object o", OBJECT_COLUMNS, (("o.ra", "o.dec"),), OBJECT_GROUPS)
SOURCES_OF_OBJECTS = Source("source s", SOURCE_COLUMNS, (("s.ra", "s.dec"),), ("s.band", "s.quality", "s.is_dipole"))
FORCED = Source("forced_source f", FORCED_COLUMNS, (), ("f.flag", "f.visit_id % 7"))
CCD_VISITS = Source("ccd_visit v", CCD_COLUMNS, (), ("v.band", "v.program", "v.good"))
BRIGHT = Source("bright_ref b", BRIGHT_COLUMNS, (("b.ra", "b.dec"),), ("b.variable", "FLOOR(b.g_mag)"))
MATCHES = Source("deep_match n", MATCH_COLUMNS, (), ("n.rank", "n.accepted"))

SMALL = (OBJECTS, SOURCES_OF_OBJECTS, FORCED, CCD_VISITS, BRIGHT, MATCHES, *SOURCES[2:6])
"""Tables of a few thousand rows at the most, which may be joined in any way."""

SMALL_JOINS = (
    Source(
        "object o JOIN source s ON s.object_id = o.object_id", OBJECT_COLUMNS + SOURCE_COLUMNS, (("o.ra", "o.dec"),), OBJECT_GROUPS
    ),
    Source(
        "object o LEFT JOIN forced_source f ON f.object_id = o.object_id",
        OBJECT_COLUMNS + FORCED_COLUMNS,
        (("o.ra", "o.dec"),),
        (*OBJECT_GROUPS, "f.flag"),
    ),
    *SOURCES[10:],
)

LINKS = (
    ("o.object_id", "s.object_id"),
    ("o.object_id", "f.object_id"),
    ("s.object_id", "f.object_id"),
    ("s.visit_id", "v.visit_id"),
    ("f.visit_id", "v.visit_id"),
    ("o.object_id", "n.object_id"),
    ("s.object_id", "n.object_id"),
    ("p.point_id", "m.point_id"),
    ("p.point_id", "k.point_id"),
    ("m.point_id", "k.point_id"),
    ("o.parent_id", "s.object_id"),
    ("o.tract", "v.visit_id"),
    ("s.visit_id", "k.mark_id"),
    ("b.ref_id", "n.ref_id"),
)
"""Columns of two tables that are equal for a few rows each."""

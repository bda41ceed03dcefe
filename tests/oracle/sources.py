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
    Column("p.big", "integer", ("0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"), summable=False),
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

-- Spherical functions under the names, units and argument orders that Qserv users know (scisql 0.3). Angles in degrees, axes of
-- ellipses in arcsec. Tests return 1 or 0; NULL in gives 0 for tests, NULL for distances. Where scisql returns NULL for a wrong
-- argument (a radius above 180 degrees, say), so do these.

CREATE OR REPLACE FUNCTION qserv.scisql_angSep(
    lon1 double precision, lat1 double precision, lon2 double precision, lat2 double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN qserv.angular_separation(lon1, lat1, lon2, lat2);

CREATE OR REPLACE FUNCTION qserv.scisql_s2PtInCircle(
    lon double precision, lat double precision, lon0 double precision, lat0 double precision, radius double precision
) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN radius IS NULL THEN 0
    WHEN radius BETWEEN 0 AND 180 THEN (qserv.in_circle(lon, lat, lon0, lat0, radius) IS TRUE)::integer
END;

CREATE OR REPLACE FUNCTION qserv.scisql_s2PtInBox(
    lon double precision, lat double precision,
    lon_min double precision, lat_min double precision, lon_max double precision, lat_max double precision
) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (qserv.in_lonlat_box(lon, lat, lon_min, lat_min, lon_max, lat_max) IS TRUE)::integer;

CREATE OR REPLACE FUNCTION qserv.scisql_s2PtInEllipse(
    lon double precision, lat double precision, lon0 double precision, lat0 double precision,
    semi_major_arcsec double precision, semi_minor_arcsec double precision, position_angle double precision
) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN semi_major_arcsec IS NULL OR semi_minor_arcsec IS NULL THEN 0
    WHEN semi_minor_arcsec >= 0 AND semi_minor_arcsec <= semi_major_arcsec AND semi_major_arcsec <= 36000
    THEN (
        qserv.in_ellipse(lon, lat, lon0, lat0, semi_major_arcsec / 3600, semi_minor_arcsec / 3600, position_angle) IS TRUE
    )::integer
END;

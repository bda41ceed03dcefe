-- Positions and regions on the sphere. Angles are in degrees, positions ICRS; a NULL argument gives NULL.
--
-- Bodies are single expressions, which PostgreSQL puts in place of the call, so that constants are folded once a query and no
-- row pays for a call. 0.017453292519943295 is pi/180; 0.008726646259971648 is pi/360 (half an angle, in radians).
-- Regions agree with those of partitioner/regions.py, which decide on chunks and pixels.

-- Great-circle distance. Haversine of the distance and of its supplement are sums of squares, so no digits cancel, neither at
-- 1e-9 arcsec nor next to 180 degrees.
CREATE OR REPLACE FUNCTION qserv.angular_separation(
    ra1 double precision, decl1 double precision, ra2 double precision, decl2 double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN degrees(2 * atan2(
    sqrt(power(sin((decl1 - decl2) * 0.008726646259971648), 2)
        + cos(decl1 * 0.017453292519943295) * cos(decl2 * 0.017453292519943295)
            * power(sin((ra1 - ra2) * 0.008726646259971648), 2)),
    sqrt(power(sin((decl1 + decl2) * 0.008726646259971648), 2)
        + cos(decl1 * 0.017453292519943295) * cos(decl2 * 0.017453292519943295) * power(cos((ra1 - ra2) * 0.008726646259971648), 2))
));

-- Whether a position lies within a circle; its edge, 1e-12 rad (0.2 microarcsec) wide for rounding, is included.
-- Above 90 degrees the distance from the antipode decides, which keeps all digits. NULL if the radius is not within 0 to 180.
CREATE OR REPLACE FUNCTION qserv.in_circle(
    ra double precision, decl double precision, ra0 double precision, decl0 double precision, radius_deg double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN radius_deg BETWEEN 0 AND 90 THEN
        power(sin((decl - decl0) * 0.008726646259971648), 2)
        + cos(decl * 0.017453292519943295) * cos(decl0 * 0.017453292519943295) * power(sin((ra - ra0) * 0.008726646259971648), 2)
        <= power(sin((radius_deg + 5.729577951308232e-11) * 0.008726646259971648), 2)
    WHEN radius_deg BETWEEN 90 AND 180 THEN
        power(sin((decl + decl0) * 0.008726646259971648), 2)
        + cos(decl * 0.017453292519943295) * cos(decl0 * 0.017453292519943295) * power(cos((ra - ra0) * 0.008726646259971648), 2)
        >= CASE WHEN radius_deg + 5.729577951308232e-11 >= 180 THEN 0
            ELSE power(cos((radius_deg + 5.729577951308232e-11) * 0.008726646259971648), 2) END
END;

-- Whether a position lies within limits of longitude and latitude, these included (rules of scisql_s2PtInBox): through longitude
-- 0 where lon_min > lon_max, all longitudes where they are 360 degrees or more apart, else both modulo 360.
CREATE OR REPLACE FUNCTION qserv.in_lonlat_box(
    ra double precision, decl double precision,
    lon_min double precision, lat_min double precision, lon_max double precision, lat_max double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN decl >= lat_min AND decl <= lat_max AND CASE
    WHEN lon_max - lon_min >= 360 THEN ra = ra
    WHEN (lon_min - 360 * floor(lon_min / 360)) <= (lon_max - 360 * floor(lon_max / 360)) THEN
        (ra - 360 * floor(ra / 360)) >= (lon_min - 360 * floor(lon_min / 360))
        AND (ra - 360 * floor(ra / 360)) <= (lon_max - 360 * floor(lon_max / 360))
    ELSE
        (ra - 360 * floor(ra / 360)) >= (lon_min - 360 * floor(lon_min / 360))
        OR (ra - 360 * floor(ra / 360)) <= (lon_max - 360 * floor(lon_max / 360))
END;

-- Whether a position, projected orthographically onto the tangent plane at the centre, lies in an ellipse, its edge included
-- (scisql_s2PtInEllipse, but on the near hemisphere only). The position angle runs from north towards east. NULL unless
-- 0 < semi_minor_deg <= semi_major_deg <= 10.
CREATE OR REPLACE FUNCTION qserv.in_ellipse(
    ra double precision, decl double precision, ra0 double precision, decl0 double precision,
    semi_major_deg double precision, semi_minor_deg double precision, position_angle_deg double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN semi_minor_deg > 0 AND semi_minor_deg <= semi_major_deg AND semi_major_deg <= 10 THEN
    power(
        ((sin((decl - decl0) * 0.017453292519943295)
            + 2 * sin(decl0 * 0.017453292519943295) * cos(decl * 0.017453292519943295)
                * power(sin((ra - ra0) * 0.008726646259971648), 2)) * cos(position_angle_deg * 0.017453292519943295)
        + cos(decl * 0.017453292519943295) * sin((ra - ra0) * 0.017453292519943295)
            * sin(position_angle_deg * 0.017453292519943295))
        / (semi_major_deg * 0.017453292519943295), 2)
    + power(
        (cos(decl * 0.017453292519943295) * sin((ra - ra0) * 0.017453292519943295)
            * cos(position_angle_deg * 0.017453292519943295)
        - (sin((decl - decl0) * 0.017453292519943295)
            + 2 * sin(decl0 * 0.017453292519943295) * cos(decl * 0.017453292519943295)
                * power(sin((ra - ra0) * 0.008726646259971648), 2)) * sin(position_angle_deg * 0.017453292519943295))
        / (semi_minor_deg * 0.017453292519943295), 2)
    <= 1
    AND power(sin((decl - decl0) * 0.008726646259971648), 2)
        + cos(decl * 0.017453292519943295) * cos(decl0 * 0.017453292519943295)
            * power(sin((ra - ra0) * 0.008726646259971648), 2) < 0.5
END;

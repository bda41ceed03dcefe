-- The oracle's own geometry, by unit vectors and Vincenty's formula: another way than the functions of the nodes take (haversine), and
-- none of their code. Angles in degrees.
CREATE SCHEMA plain;

CREATE FUNCTION plain.vector(lon double precision, lat double precision) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[cos(radians(lat)) * cos(radians(lon)), cos(radians(lat)) * sin(radians(lon)), sin(radians(lat))];

CREATE FUNCTION plain.dot(a double precision[], b double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN a[1] * b[1] + a[2] * b[2] + a[3] * b[3];

CREATE FUNCTION plain.crossed(a double precision[], b double precision[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[a[2] * b[3] - a[3] * b[2], a[3] * b[1] - a[1] * b[3], a[1] * b[2] - a[2] * b[1]];

-- Distance of two positions: the angle between vectors from its sine and cosine, exact at all distances. One expression, which
-- PostgreSQL puts in place of the call.
CREATE FUNCTION plain.sep(lon1 double precision, lat1 double precision, lon2 double precision, lat2 double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN degrees(atan2(
    sqrt(
        (cos(radians(lat2)) * sin(radians(lon2 - lon1))) ^ 2
        + (cos(radians(lat1)) * sin(radians(lat2)) - sin(radians(lat1)) * cos(radians(lat2)) * cos(radians(lon2 - lon1))) ^ 2
    ),
    sin(radians(lat1)) * sin(radians(lat2)) + cos(radians(lat1)) * cos(radians(lat2)) * cos(radians(lon2 - lon1))
));

-- Half of the way around a polygon of vertices lon, lat, lon, lat, ...: no point of a convex one is further from a vertex.
CREATE FUNCTION plain.reach(vertices double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT sum(plain.sep(
        vertices[2 * i - 1], vertices[2 * i], vertices[(2 * i) % cardinality(vertices) + 1], vertices[(2 * i) % cardinality(vertices) + 2]
    )) / 2 + 0.001
    FROM generate_series(1, cardinality(vertices) / 2) AS i
);

-- On one side of all edges, or on the other of all.
CREATE FUNCTION plain.one_sided(p double precision[], vertices double precision[]) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    n integer := cardinality(vertices) / 2;
    side double precision;
    left_of boolean := true;
    right_of boolean := true;
BEGIN
    FOR i IN 0 .. n - 1 LOOP
        side := plain.dot(p, plain.crossed(
            plain.vector(vertices[2 * i + 1], vertices[2 * i + 2]),
            plain.vector(vertices[2 * ((i + 1) % n) + 1], vertices[2 * ((i + 1) % n) + 2])
        ));
        left_of := left_of AND side >= -1e-12;
        right_of := right_of AND side <= 1e-12;
        EXIT WHEN NOT (left_of OR right_of);
    END LOOP;
    RETURN left_of OR right_of;
END $$;

-- Inside a convex polygon of vertices lon, lat, lon, lat, ... Its reach also keeps the mirror image on the other side of the sphere
-- out, and most rows from the loop over the edges. NULL without position.
CREATE FUNCTION plain.convex(lon double precision, lat double precision, VARIADIC vertices double precision[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN plain.sep(lon, lat, vertices[1], vertices[2]) <= plain.reach(vertices)
    AND plain.one_sided(plain.vector(lon, lat), vertices);

-- Offset from a centre on the plane tangent there, in radians: east and north, by orthographic (scisql's ellipse) or gnomonic
-- projection (great circles are straight: ADQL's BOX). For the near hemisphere.
CREATE FUNCTION plain.offsets(lon double precision, lat double precision, lon0 double precision, lat0 double precision, gnomonic boolean)
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    p double precision[] := plain.vector(lon, lat);
    depth double precision := CASE WHEN gnomonic THEN plain.dot(p, plain.vector(lon0, lat0)) ELSE 1 END;
    east double precision := plain.dot(p, plain.vector(lon0 + 90, 0));
    north double precision := plain.dot(p, plain.crossed(plain.vector(lon0, lat0), plain.vector(lon0 + 90, 0)));
BEGIN
    RETURN ARRAY[east / depth, north / depth];
END $$;

CREATE FUNCTION plain.in_turned_ellipse(
    o double precision[], major_arcsec double precision, minor_arcsec double precision, angle double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((o[2] * cosd(angle) + o[1] * sind(angle)) / radians(major_arcsec / 3600)) ^ 2
    + ((o[1] * cosd(angle) - o[2] * sind(angle)) / radians(minor_arcsec / 3600)) ^ 2 <= 1;

CREATE FUNCTION plain.ellipse(
    lon double precision, lat double precision, lon0 double precision, lat0 double precision,
    major_arcsec double precision, minor_arcsec double precision, angle double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN plain.sep(lon, lat, lon0, lat0) < 2 * major_arcsec / 3600
    AND plain.in_turned_ellipse(plain.offsets(lon, lat, lon0, lat0, false), major_arcsec, minor_arcsec, angle);

CREATE FUNCTION plain.in_rectangle(o double precision[], width double precision, height double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN abs(o[1]) <= tand(width / 2) + 1e-12 AND abs(o[2]) <= tand(height / 2) + 1e-12;

CREATE FUNCTION plain.adql_box(
    lon double precision, lat double precision, lon0 double precision, lat0 double precision,
    width double precision, height double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- The corners are the farthest.
RETURN plain.sep(lon, lat, lon0, lat0) < atand(sqrt(tand(width / 2) ^ 2 + tand(height / 2) ^ 2)) + 0.001
    AND plain.in_rectangle(plain.offsets(lon, lat, lon0, lat0, true), width, height);

-- Polygons with great-circle edges. A loop over edges needs PL/pgSQL: some 2 microseconds for each edge and row (as a query inside
-- an SQL function it was planned for every row, 1 ms). Restrict rows b_y their pixels first.

-- Whether a position (deg, ICRS) lies in a polygon, convex or not, or within 1e-12 rad of an edge. vertices_xyz are unit vectors,
-- x, y, z after one another; exterior is a unit vector outside the polygon and away from the great circle of every edge.
--
-- With R the exterior and P the position, P is inside where the arc from R to P crosses an odd number of edges. A side is taken as
-- left of R -> P with >=, so that an arc through a vertex counts once. partitioner/polygon.p_y makes both arguments and has the
-- same rules.
CREATE OR REPLACE FUNCTION qserv.in_polygon(
    ra double precision, decl double precision, vertices_xyz double precision[], exterior double precision[]
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT COST 1000
AS $$
DECLARE
    count CONSTANT integer := cardinality(vertices_xyz);
    r_x CONSTANT double precision := exterior[1];
    r_y CONSTANT double precision := exterior[2];
    r_z CONSTANT double precision := exterior[3];
    p_x CONSTANT double precision := cos(decl * 0.017453292519943295) * cos(ra * 0.017453292519943295);
    p_y CONSTANT double precision := cos(decl * 0.017453292519943295) * sin(ra * 0.017453292519943295);
    p_z CONSTANT double precision := sin(decl * 0.017453292519943295);
    -- (R - P) x (R + P) is twice R x P, without its loss of digits where P is close to R or to -R.
    c_x CONSTANT double precision := (r_y - p_y) * (r_z + p_z) - (r_z - p_z) * (r_y + p_y);
    c_y CONSTANT double precision := (r_z - p_z) * (r_x + p_x) - (r_x - p_x) * (r_z + p_z);
    c_z CONSTANT double precision := (r_x - p_x) * (r_y + p_y) - (r_y - p_y) * (r_x + p_x);
    -- The edge from A to B; M is twice A x B, along the edge's pole.
    a_x double precision := vertices_xyz[count - 2];
    a_y double precision := vertices_xyz[count - 1];
    a_z double precision := vertices_xyz[count];
    b_x double precision;
    b_y double precision;
    b_z double precision;
    m_x double precision;
    m_y double precision;
    m_z double precision;
    height double precision;
    a_left boolean := a_x * c_x + a_y * c_y + a_z * c_z >= 0;
    b_left boolean;
    inside boolean := false;
BEGIN
    FOR i IN 1 .. count BY 3 LOOP
        b_x := vertices_xyz[i];
        b_y := vertices_xyz[i + 1];
        b_z := vertices_xyz[i + 2];
        m_x := (a_y - b_y) * (a_z + b_z) - (a_z - b_z) * (a_y + b_y);
        m_y := (a_z - b_z) * (a_x + b_x) - (a_x - b_x) * (a_z + b_z);
        m_z := (a_x - b_x) * (a_y + b_y) - (a_y - b_y) * (a_x + b_x);
        height := p_x * m_x + p_y * m_y + p_z * m_z;
        IF height * height <= 1e-24 * (m_x * m_x + m_y * m_y + m_z * m_z) AND (
            (p_x - a_x) * (p_x - a_x) + (p_y - a_y) * (p_y - a_y) + (p_z - a_z) * (p_z - a_z) <= 1e-24
            OR (p_x - b_x) * (p_x - b_x) + (p_y - b_y) * (p_y - b_y) + (p_z - b_z) * (p_z - b_z) <= 1e-24
            -- Between the ends: left of the planes through either end and the pole.
            OR (p_x * (m_y * a_z - m_z * a_y) + p_y * (m_z * a_x - m_x * a_z) + p_z * (m_x * a_y - m_y * a_x) >= 0
                AND p_x * (b_y * m_z - b_z * m_y) + p_y * (b_z * m_x - b_x * m_z) + p_z * (b_x * m_y - b_y * m_x) >= 0)
        ) THEN
            RETURN true;
        END IF;
        b_left := b_x * c_x + b_y * c_y + b_z * c_z >= 0;
        IF (a_left AND NOT b_left AND height > 0 AND r_x * m_x + r_y * m_y + r_z * m_z <= 0)
            OR (b_left AND NOT a_left AND height < 0 AND r_x * m_x + r_y * m_y + r_z * m_z > 0)
        THEN
            inside := NOT inside;
        END IF;
        a_x := b_x;
        a_y := b_y;
        a_z := b_z;
        a_left := b_left;
    END LOOP;
    RETURN inside;
END;
$$;

-- Convex polygon of vertices lon, lat, lon, lat, ... (deg), in either winding, under the name that Qserv users know: 1 inside or on
-- an edge, 0 outside or for a NULL. NULL for fewer than three vertices, a longitude without latitude, or a polygon that is not
-- convex, as in scisql.
CREATE OR REPLACE FUNCTION qserv.scisql_s2PtInCPoly(
    lon double precision, lat double precision, VARIADIC vertices double precision[]
) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000
AS $$
DECLARE
    count CONSTANT integer := cardinality(vertices);
    x double precision[];
    y double precision[];
    z double precision[];
    middle_x double precision := 0;
    middle_y double precision := 0;
    middle_z double precision := 0;
    p_x double precision;
    p_y double precision;
    p_z double precision;
    b integer;
    c integer;
    nx double precision;
    ny double precision;
    nz double precision;
    turn double precision;
    winding double precision;
    inside boolean := true;
BEGIN
    IF lon IS NULL OR lat IS NULL OR array_position(vertices, NULL) IS NOT NULL THEN
        RETURN 0;
    ELSIF count < 6 OR count % 2 = 1 THEN
        RETURN NULL;
    END IF;
    FOR i IN 1 .. count / 2 LOOP
        x[i] := cos(radians(vertices[2 * i])) * cos(radians(vertices[2 * i - 1]));
        y[i] := cos(radians(vertices[2 * i])) * sin(radians(vertices[2 * i - 1]));
        z[i] := sin(radians(vertices[2 * i]));
        middle_x := middle_x + x[i];
        middle_y := middle_y + y[i];
        middle_z := middle_z + z[i];
    END LOOP;
    p_x := cos(radians(lat)) * cos(radians(lon));
    p_y := cos(radians(lat)) * sin(radians(lon));
    p_z := sin(radians(lat));
    FOR i IN 1 .. count / 2 LOOP
        b := i % (count / 2) + 1;
        c := b % (count / 2) + 1;
        nx := y[i] * z[b] - z[i] * y[b];
        ny := z[i] * x[b] - x[i] * z[b];
        nz := x[i] * y[b] - y[i] * x[b];
        turn := sign(nx * middle_x + ny * middle_y + nz * middle_z);
        winding := COALESCE(winding, turn);
        IF turn = 0 OR turn <> winding OR turn * (nx * x[c] + ny * y[c] + nz * z[c]) <= 0 THEN
            RETURN NULL;
        END IF;
        inside := inside AND winding * (p_x * nx + p_y * ny + p_z * nz) >= -1e-12 * sqrt(nx * nx + ny * ny + nz * nz);
    END LOOP;
    RETURN inside::integer;
END;
$$;

-- The Hierarchical Triangular Mesh (Kunszt, Szalay & Thakar 2001, doi:10.1007/10849171_83) under the names that Qserv users know.
-- Nothing here is indexed by it: the functions are for identifiers that other archives made.

-- Identifier of the triangle of a level, 0 to 24, that a position (deg) lies in. NULL where the level or the latitude is none.
CREATE OR REPLACE FUNCTION qserv.scisql_s2HtmId(lon double precision, lat double precision, level integer) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT COST 1000
AS $$
DECLARE
    p CONSTANT double precision[] := ARRAY[
        cos(radians(lat)) * cos(radians(lon)), cos(radians(lat)) * sin(radians(lon)), sin(radians(lat))];
    -- Vertices of the triangle; the eight first ones are octants. Each is called after its corners in counter-clockwise order.
    a double precision[];
    b double precision[] := ARRAY[0, 0, CASE WHEN p[3] < 0 THEN -1 ELSE 1 END];
    c double precision[];
    u double precision[];
    v double precision[];
    w double precision[];
    id bigint;
BEGIN
    IF NOT (abs(lon) < 'Infinity' AND lat BETWEEN -90 AND 90 AND level BETWEEN 0 AND 24) THEN
        RETURN NULL;
    END IF;
    IF p[3] < 0 THEN
        IF p[2] > 0 OR (p[2] = 0 AND p[1] >= 0) THEN
            IF p[1] > 0 OR p[2] = 0 THEN id := 8; a := '{1,0,0}'; c := '{0,1,0}'; ELSE id := 9; a := '{0,1,0}'; c := '{-1,0,0}'; END IF;
        ELSIF p[1] < 0 THEN id := 10; a := '{-1,0,0}'; c := '{0,-1,0}';
        ELSE id := 11; a := '{0,-1,0}'; c := '{1,0,0}';
        END IF;
    ELSIF p[2] > 0 OR (p[2] = 0 AND p[1] >= 0) THEN
        IF p[1] > 0 OR p[2] = 0 THEN id := 15; a := '{0,1,0}'; c := '{1,0,0}'; ELSE id := 14; a := '{-1,0,0}'; c := '{0,1,0}'; END IF;
    ELSIF p[1] < 0 THEN id := 13; a := '{0,-1,0}'; c := '{-1,0,0}';
    ELSE id := 12; a := '{1,0,0}'; c := '{0,-1,0}';
    END IF;
    FOR step IN 1 .. level LOOP
        u := qserv.middle(b, c);
        v := qserv.middle(c, a);
        w := qserv.middle(a, b);
        IF qserv.triple(w, v, p) >= 0 THEN
            id := 4 * id; b := w; c := v;
        ELSIF qserv.triple(u, w, p) >= 0 THEN
            id := 4 * id + 1; a := b; b := u; c := w;
        ELSIF qserv.triple(v, u, p) >= 0 THEN
            id := 4 * id + 2; a := c; b := v; c := u;
        ELSE
            id := 4 * id + 3; a := u; b := v; c := w;
        END IF;
    END LOOP;
    RETURN id;
END;
$$;

-- The unit vector half-way between two.
CREATE OR REPLACE FUNCTION qserv.middle(a double precision[], b double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
AS $$
DECLARE
    n CONSTANT double precision := sqrt(power(a[1] + b[1], 2) + power(a[2] + b[2], 2) + power(a[3] + b[3], 2));
BEGIN
    RETURN ARRAY[(a[1] + b[1]) / n, (a[2] + b[2]) / n, (a[3] + b[3]) / n];
END;
$$;

-- (a x b) . c: above zero where c lies left of the arc from a to b.
CREATE OR REPLACE FUNCTION qserv.triple(a double precision[], b double precision[], c double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
AS $$
BEGIN
    RETURN (a[2] * b[3] - a[3] * b[2]) * c[1] + (a[3] * b[1] - a[1] * b[3]) * c[2] + (a[1] * b[2] - a[2] * b[1]) * c[3];
END;
$$;

-- Level of an identifier; NULL for a number that is none.
CREATE OR REPLACE FUNCTION qserv.scisql_s2HtmLevel(id bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE
    WHEN id >= 8 AND (length(ltrim(id::bit(64)::text, '0')) % 2) = 0 AND id < 4503599627370496
    THEN length(ltrim(id::bit(64)::text, '0')) / 2 - 2
END;

-- The version of sciSQL whose meanings its functions have here.
CREATE OR REPLACE FUNCTION qserv.scisql_getVersion() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '0.3.10';

-- The lot of a row in a sample, from 0 to 100, by its key and the sample's seed: the same on every node, and in every version.
CREATE OR REPLACE FUNCTION qserv.lot(key text, seed double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || substr(md5(key || ' ' || seed), 1, 13))::bit(52)::bigint * (100 / 4503599627370496::double precision);

-- Mathematics as ADQL and MySQL want it: NULL outside the domain, where PostgreSQL's own functions would end the query. NULL in
-- gives NULL out. A NaN comes back as NaN, unless said otherwise.

CREATE OR REPLACE FUNCTION qserv.ln(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x > 0 THEN ln(x) END;

CREATE OR REPLACE FUNCTION qserv.log10(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x > 0 THEN log10(x) END;

CREATE OR REPLACE FUNCTION qserv.sqrt(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x >= 0 THEN sqrt(x) END;

-- A NaN, being outside [-1, 1], gives NULL; likewise in acos.
CREATE OR REPLACE FUNCTION qserv.asin(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x BETWEEN -1 AND 1 THEN asin(x) END;

CREATE OR REPLACE FUNCTION qserv.acos(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x BETWEEN -1 AND 1 THEN acos(x) END;

-- NULL where the result is above the largest double, exp(709.7827); 0 where it is below the smallest normal one, exp(-708.396).
-- PostgreSQL refuses both. NaN and +Infinity give NULL.
CREATE OR REPLACE FUNCTION qserv.exp(x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN x > 709.7827 THEN NULL WHEN x < -708.39 THEN 0 ELSE exp(x) END;

-- NULL for 0 to a negative power, a negative number to a broken power, and a result too large; 0 for one too small (limits as in
-- qserv.exp). An argument that is NaN or infinite gives NULL, or 0 where the result is 0.
CREATE OR REPLACE FUNCTION qserv.power(x double precision, y double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN x = 0 THEN CASE WHEN y >= 0 AND y < 'Infinity' THEN power(x, y) END
    WHEN x < 0 AND y <> floor(y) THEN NULL
    WHEN y * ln(abs(x)) > 709.7827 THEN NULL
    WHEN y * ln(abs(x)) < -708.39 THEN 0
    ELSE power(x, y)
END;

-- Division; NULL by zero. Integers give an integer, cut off towards zero.
CREATE OR REPLACE FUNCTION qserv.divide(x double precision, y double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x / NULLIF(y, 0);

CREATE OR REPLACE FUNCTION qserv.divide(x smallint, y smallint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x / NULLIF(y, 0::smallint);

CREATE OR REPLACE FUNCTION qserv.divide(x integer, y integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x / NULLIF(y, 0);

CREATE OR REPLACE FUNCTION qserv.divide(x bigint, y bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x / NULLIF(y, 0);

-- Remainder, with the sign of x; NULL by zero.
CREATE OR REPLACE FUNCTION qserv.mod(x double precision, y double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x - NULLIF(y, 0) * trunc(x / NULLIF(y, 0));

CREATE OR REPLACE FUNCTION qserv.mod(x smallint, y smallint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x % NULLIF(y, 0::smallint);

CREATE OR REPLACE FUNCTION qserv.mod(x integer, y integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x % NULLIF(y, 0);

CREATE OR REPLACE FUNCTION qserv.mod(x bigint, y bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN x % NULLIF(y, 0);

-- Nearest number with n decimals; n < 0 rounds before the point. Halves go to the even digit, as in PostgreSQL and numpy. Where
-- doubles have no digit beyond the n-th (2^52 = 4503599627370496), x comes back as it is.
CREATE OR REPLACE FUNCTION qserv.round(x double precision, n integer DEFAULT 0) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN n > 300 THEN x
    WHEN n >= 0 THEN CASE
        WHEN abs(x) >= 4503599627370496 / power(10::double precision, n) THEN x
        ELSE round(x * power(10::double precision, n)) / power(10::double precision, n) END
    WHEN n < -308 THEN 0 * x
    ELSE round(x / power(10::double precision, -n)) * power(10::double precision, -n)
END;

-- Number cut off after n decimals, towards zero; n < 0 cuts before the point.
CREATE OR REPLACE FUNCTION qserv.truncate(x double precision, n integer DEFAULT 0) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN n > 300 THEN x
    WHEN n >= 0 THEN CASE
        WHEN abs(x) >= 4503599627370496 / power(10::double precision, n) THEN x
        ELSE trunc(x * power(10::double precision, n)) / power(10::double precision, n) END
    WHEN n < -308 THEN 0 * x
    ELSE trunc(x / power(10::double precision, -n)) * power(10::double precision, -n)
END;

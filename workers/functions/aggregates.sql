-- Around SUM and AVG, so that no answer is of type numeric: what is summed, and what the sum becomes. They are inlined.

-- What is summed: REAL and numeric in double precision, integers as they are.
CREATE OR REPLACE FUNCTION qserv.widen(x smallint) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.widen(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.widen(x bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.widen(x real) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::double precision;

CREATE OR REPLACE FUNCTION qserv.widen(x double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.widen(x numeric) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::double precision;

-- What the sum becomes: PostgreSQL sums bigint to numeric, which must fit into bigint.
CREATE OR REPLACE FUNCTION qserv.total(x bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.total(x numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::bigint;

CREATE OR REPLACE FUNCTION qserv.total(x double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

-- What is summed where the sum is part of an expression: as `widen`, but numeric stays numeric.
CREATE OR REPLACE FUNCTION qserv.summand(x smallint) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.summand(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.summand(x bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.summand(x real) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::double precision;

CREATE OR REPLACE FUNCTION qserv.summand(x double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.summand(x numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.summand(x interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

-- The sum of a chunk in two parts that fit into bigint, low + high * 2^32, because that of bigint is numeric. The type of the high
-- part tells the sums apart: bigint for a sum of bigint; smallint (always NULL) for one of smaller integers, which is a bigint;
-- real (always NULL) for one in double precision.
CREATE OR REPLACE FUNCTION qserv.sum_low(total bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN total;

CREATE OR REPLACE FUNCTION qserv.sum_low(total numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN mod(total, 4294967296)::bigint;

CREATE OR REPLACE FUNCTION qserv.sum_low(total double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN total;

CREATE OR REPLACE FUNCTION qserv.sum_high(total bigint) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN NULL::smallint;

CREATE OR REPLACE FUNCTION qserv.sum_high(total numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN div(total, 4294967296)::bigint;

CREATE OR REPLACE FUNCTION qserv.sum_high(total double precision) RETURNS real
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN NULL::real;

-- The number, the sum, and the sum of squares about the mean, of what is in double precision: what PostgreSQL's own AVG goes by. It takes
-- less time than a sum and a count, above all of REAL, whose values need not be made double ones first.
CREATE OR REPLACE AGGREGATE qserv.sums(real) (
    SFUNC = float4_accum, STYPE = double precision[], INITCOND = '{0,0,0}', PARALLEL = SAFE
);

CREATE OR REPLACE AGGREGATE qserv.sums(double precision) (
    SFUNC = float8_accum, STYPE = double precision[], INITCOND = '{0,0,0}', PARALLEL = SAFE
);

-- The mean, of a sum and a count: numeric for integers, as AVG is.
CREATE OR REPLACE FUNCTION qserv.mean(total bigint, count bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN total::numeric / NULLIF(count, 0);

CREATE OR REPLACE FUNCTION qserv.mean(total numeric, count bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN total / NULLIF(count, 0);

CREATE OR REPLACE FUNCTION qserv.mean(total double precision, count bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN total / NULLIF(count, 0);

-- A number on its way to another step of the query: numeric as its digits in a bytea, which no other number is; the rest as it is.
-- And arrays of numbers.
CREATE OR REPLACE FUNCTION qserv.carried(x smallint) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x real) RETURNS real
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x numeric) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::text::bytea;

CREATE OR REPLACE FUNCTION qserv.carried(x smallint[]) RETURNS smallint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x integer[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x real[]) RETURNS real[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x double precision[]) RETURNS double precision[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.carried(x numeric[]) RETURNS bytea[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::text[]::bytea[];

CREATE OR REPLACE FUNCTION qserv.carried(x anyelement) RETURNS anyelement
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT x';

-- An array as a list, which has one dimension and begins at 1.
CREATE OR REPLACE FUNCTION qserv.as_list(x anyarray) RETURNS anyarray
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF array_ndims(x) > 1 THEN
        RAISE array_subscript_error USING
            MESSAGE = format('an array of %s dimensions cannot be sent, only one of one; CAST(... AS TEXT) makes a text of it', array_ndims(x));
    ELSIF array_lower(x, 1) <> 1 THEN
        RAISE array_subscript_error USING
            MESSAGE = format('an array whose first subscript is %s cannot be sent, only one that begins at 1', array_lower(x, 1));
    END IF;
    RETURN x;
END
$$;

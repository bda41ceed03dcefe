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

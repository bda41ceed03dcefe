-- What MySQL means where PostgreSQL has no function of the same meaning, for queries of dialect mysql.

-- A value as a condition: any number but 0 is true.
CREATE OR REPLACE FUNCTION qserv.truth(x boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x;

CREATE OR REPLACE FUNCTION qserv.truth(x bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x <> 0;

CREATE OR REPLACE FUNCTION qserv.truth(x integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x <> 0;

CREATE OR REPLACE FUNCTION qserv.truth(x double precision) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x <> 0;

-- DIV: the quotient cut off towards zero, NULL by zero.
CREATE OR REPLACE FUNCTION qserv.int_divide(x smallint, y smallint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::bigint / NULLIF(y, 0::smallint);

CREATE OR REPLACE FUNCTION qserv.int_divide(x integer, y integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x::bigint / NULLIF(y, 0);

CREATE OR REPLACE FUNCTION qserv.int_divide(x bigint, y bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x / NULLIF(y, 0);

CREATE OR REPLACE FUNCTION qserv.int_divide(x double precision, y double precision) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN trunc(x / NULLIF(y, 0))::bigint;

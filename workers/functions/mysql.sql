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

-- SUBSTRING: a start below 0 counts from the end; nothing stands before the first character.
CREATE OR REPLACE FUNCTION qserv.mysql_substr(x text, start integer, count integer DEFAULT 2147483647) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN start > 0 THEN left(substr(x, start), GREATEST(count, 0))
    WHEN start < 0 AND -start <= char_length(x) THEN left(right(x, -start), GREATEST(count, 0))
    WHEN count IS NOT NULL AND start IS NOT NULL AND x IS NOT NULL THEN ''
END;

-- Operators and functions that PostgreSQL has for integers and numeric, for double precision too, which every number of a query
-- without an integer type is. Errors are PostgreSQL's: division by zero ends the query.

-- Remainder, with the sign of x.
CREATE OR REPLACE FUNCTION qserv.modulo(x smallint, y smallint) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x % y;

CREATE OR REPLACE FUNCTION qserv.modulo(x integer, y integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x % y;

CREATE OR REPLACE FUNCTION qserv.modulo(x bigint, y bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x % y;

CREATE OR REPLACE FUNCTION qserv.modulo(x numeric, y numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x % y;

CREATE OR REPLACE FUNCTION qserv.modulo(x double precision, y double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN x - y * trunc(x / y);

-- Quotient, cut off towards zero. PostgreSQL's div() of integers is numeric, too.
CREATE OR REPLACE FUNCTION qserv.quotient(x smallint, y smallint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN div(x, y);

CREATE OR REPLACE FUNCTION qserv.quotient(x integer, y integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN div(x, y);

CREATE OR REPLACE FUNCTION qserv.quotient(x bigint, y bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN div(x, y);

CREATE OR REPLACE FUNCTION qserv.quotient(x numeric, y numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN div(x, y);

CREATE OR REPLACE FUNCTION qserv.quotient(x double precision, y double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN trunc(x / y);

-- Intervals as texts of ISO 8601, whatever the session's own style is.
CREATE OR REPLACE FUNCTION qserv.iso_text(x interval) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET intervalstyle = iso_8601 AS 'SELECT x::text';

CREATE OR REPLACE FUNCTION qserv.iso_text(x interval[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET intervalstyle = iso_8601 AS 'SELECT x::text[]';

"""The functions that a query may call are those that the nodes have."""

import re

import pytest

from czar.analyse import analyse
from czar.analyse.functions import NODE_FUNCTIONS, SKY, known_functions
from czar.analyse.geometry import lower_geometry
from czar.analyse.query import Query, Source
from czar.dialects.native import read_native
from czar.parse import one_query, parse
from qserv.errors import NotYetSupportedError, QueryError, QueryValueError, UnknownNameError
from workers.functions import statements


def test_node_functions_are_those_of_the_sql_files():
    made = {name.lower() for text in statements() for name in re.findall(r"CREATE OR REPLACE FUNCTION qserv\.(\w+)", text)}
    # Functions of the sky that are lowered to others are called by those names; the last two are parts of scisql_s2HtmId.
    assert made - SKY - {"middle", "triple"} == NODE_FUNCTIONS


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ("flor(magnitude)", UnknownNameError, r"unknown function flor; did you mean floor\? \(line 1, column 8\)"),
        ("to_chr(hip, '9')", UnknownNameError, "unknown function to_chr; did you mean to_char"),
        ("setseed(0.5)", UnknownNameError, "unknown function setseed"),
        ("pg_read_file('/etc/passwd')", UnknownNameError, "unknown function pg_read_file"),
        ("lo_import('/etc/passwd')", UnknownNameError, "unknown function lo_import"),
        ("version()", UnknownNameError, "unknown function version"),
        ("pg_sleep(1)", UnknownNameError, "unknown function pg_sleep"),
        ("qserv.install(1)", UnknownNameError, "unknown function qserv.install"),
        ("pg_catalog.pg_sleep(1)", UnknownNameError, "unknown function pg_catalog.pg_sleep"),
        ("CAST(hip AS json)", NotYetSupportedError, "CAST to JSON"),
        ("CONTAINS(POINT(1, 2), CIRCLE(1, 2, 200))", QueryValueError, "the radius 200.0 of a circle is outside 0 to 180 degrees"),
        ("CONTAINS(POINT(1, 2), CIRCLE(1, 95, 1))", QueryValueError, "95"),
        ("hip OPERATOR(pg_catalog.+) 1", NotYetSupportedError, r"not yet supported: OPERATOR\(...\)"),
        ("(ra_degrees, dec_degrees)", NotYetSupportedError, "a row of several values outside of a comparison"),
        ("ROW(ra_degrees, dec_degrees) AS place", NotYetSupportedError, "a row of several values outside of a comparison"),
        ("MIN(ra_degrees, dec_degrees)", QueryError, "MIN takes one value, 2 were given"),
        ("DISTANCE(1, 2, 3)", QueryError, "DISTANCE takes two points or four coordinates, 3 arguments were given"),
        ("POINT(1, 2)", NotYetSupportedError, "POINT as a value"),
        ("qserv_areaspec_poly(1, 2, 3, 4)", QueryError, "a polygon takes the longitude and latitude of at least 3 vertices"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(expression, error, message, catalogue):
    query = f"SELECT {expression} FROM hipparcos"  # noqa: S608 (the test is about such text)
    with pytest.raises(error, match=message):
        analyse(parse(query), catalogue, query)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * EXCEPT (hip) FROM hipparcos", "EXCEPT of STAR"),
        ("SELECT hipparcos.* REPLACE (1 AS hip) FROM hipparcos", "REPLACE of STAR"),
        ("SELECT hip FROM hipparcos GROUP BY hip WITH ROLLUP", "ROLLUP of GROUP"),
        ("SELECT h.hip FROM hipparcos h LEFT SEMI JOIN hipparcos i ON i.hip = h.hip", "SEMI JOIN"),
        ("SELECT hip FROM hipparcos FETCH FIRST 5 PERCENT ROWS ONLY", "PERCENT of LIMITOPTIONS"),
        ("SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a", "BY NAME of UNION"),
    ],
)
def test_what_the_parser_reads_beyond_postgresql_is_not_passed_over(query, message, catalogue):
    with pytest.raises(NotYetSupportedError, match=message):
        analyse(parse(query), catalogue, query)


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("hip + 99999999999999999999", '"hipparcos"."hip" + CAST(99999999999999999999 AS DOUBLE PRECISION)'),
        ("-9223372036854775808", "-CAST(9223372036854775808 AS DOUBLE PRECISION)"),
        ("9223372036854775807", "9223372036854775807"),
        ("hip = 9223372036854775808", '"hipparcos"."hip" = 9223372036854775808'),
        ("hip IN (1, 99999999999999999999)", '"hipparcos"."hip" IN (1, 99999999999999999999)'),
        ("1.5", "CAST(1.5 AS DOUBLE PRECISION)"),
    ],
)
def test_a_number_that_postgresql_reads_as_numeric_is_a_double_unless_it_is_compared(expression, written, catalogue):
    query = f"SELECT {expression} FROM hipparcos"  # noqa: S608 (the test is about such text)
    assert analyse(parse(query), catalogue, query)[0].tree.expressions[0].sql("postgres") == written


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (
            "SELECT 1 FROM hipparcos WHERE hip IN (SELECT hip FROM observation WHERE qserv_areaspec_circle(1, 2, 3))",
            '"observation"."ra"',
        ),
        ("SELECT 1 FROM hipparcos UNION SELECT 2 FROM observation WHERE qserv_areaspec_circle(1, 2, 3)", '"observation"."ra"'),
        (
            "WITH s AS (SELECT * FROM observation) SELECT 1 FROM hipparcos, s WHERE qserv_areaspec_circle(1, 2, 3)",
            '"hipparcos"."ra_degrees"',
        ),
        ("SELECT 1 FROM (SELECT * FROM hipparcos WHERE qserv_areaspec_circle(1, 2, 3)) AS t", '"hipparcos"."ra_degrees"'),
    ],
)
def test_an_area_is_that_of_the_innermost_select(text, position, catalogue):
    sources = tuple(Source(name, catalogue.find(None, name, quoted=False, place=None)) for name in ("hipparcos", "observation"))
    (statement,) = read_native(text)
    query = lower_geometry(known_functions(Query(text=text, tree=one_query(statement, text), catalogue=catalogue, sources=sources)))
    assert f"qserv.in_circle({position}, " in query.tree.sql("postgres")


@pytest.mark.parametrize(
    "where",
    ["FROM t WHERE a IN (SELECT {} FROM u)", "UNION SELECT {}", "FROM (SELECT {} FROM u) AS t", "EXCEPT (SELECT 2 ORDER BY {})"],
)
def test_functions_of_nested_queries_are_checked(where, catalogue):
    text = f"SELECT 1 {where.format('pg_sleep(1)')}"
    (statement,) = read_native(text)
    with pytest.raises(UnknownNameError, match="unknown function pg_sleep"):
        known_functions(Query(text=text, tree=statement, catalogue=catalogue))

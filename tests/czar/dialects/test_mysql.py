"""Qserv's form of SQL has MySQL's values. Those expected here are from MySQL's own documentation."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from czar.parse import parse
from qserv.errors import QueryError, QuerySyntaxError, QueryValueError, UnknownNameError

at = datetime.fromisoformat

VALUES = {
    # Division and the domain of functions
    "7 / 2": 3.5,
    "1 / 0": None,
    "7 DIV 2": 3,
    "-7 DIV 2": -3,
    "7.5 DIV 2": 3,
    "7 DIV 0": None,
    "7 % 3": 1,
    "-7 MOD 3": -1,
    "MOD(7.5, 2)": 1.5,
    "MOD(7, 0)": None,
    "LOG(0)": None,
    "LOG(EXP(2))": 2.0,
    "LOG(2, 65536)": 16.0,
    "LOG2(8)": 3.0,
    "LOG10(-1)": None,
    "LN(1)": 0.0,
    "SQRT(-1)": None,
    "SQRT(16)": 4.0,
    "ACOS(2)": None,
    "ASIN(0)": 0.0,
    "EXP(1000)": None,
    "POW(2, 10)": 1024.0,
    "POWER(0, -1)": None,
    "ATAN(1, 0)": 1.5707963267948966,
    "ATAN2(0, 1)": 0.0,
    "COT(0)": None,
    "ROUND(1.298, 1)": 1.3,
    "ROUND(-1.23)": -1.0,
    "TRUNCATE(-1.999, 1)": -1.9,
    "FLOOR(-1.5) + CEILING(1.2) + CEIL(0.5) + ABS(-2) + SIGN(-3)": 2.0,
    "DEGREES(PI())": 180.0,
    "2 + 3 * 4 - 6 / 4": 12.5,
    # Operators
    "2 ^ 3": 1,
    "1 + 2 ^ 3": 2,
    "2 * 3 ^ 1": 4,
    "29 & 15": 13,
    "29 | 15": 31,
    "1 << 31": 2147483648,
    "3 >> 1": 1,
    "5 & ~1": 4,
    "1 | 2 = 3": 1,
    "0x1F + 0": 31,
    "b'101' + 0": 5,
    "1 <=> 1": 1,
    "NULL <=> NULL": 1,
    "1 <=> NULL": 0,
    "1 && 0": 0,
    "0 || 5": 1,
    "'1' = '1' || 0": 1,
    "NULL || 1": 1,
    "NULL && 1": None,
    "1 XOR 1": 0,
    "1 XOR 0": 1,
    "1 XOR NULL": None,
    "NOT 0": 1,
    "!1": 0,
    "NOT NULL": None,
    "1 > 2": 0,
    "(1 > 2) + 5": 5,
    "(3 > 2) = 1": 1,
    "TRUE + TRUE": 2,
    "TRUE": 1,
    "(2 > 1) = (3 > 1)": 1,
    "2 IN (1, 2)": 1,
    "2 NOT IN (1, NULL)": None,
    "2 BETWEEN 1 AND 3": 1,
    "NOT 2 BETWEEN 1 AND 3": 0,
    "NULL IS NULL": 1,
    "5 IS TRUE": 1,
    "NULL IS NOT FALSE": 1,
    "'a' <> 'b'": 1,
    "-2 - -3": 1,
    # Conditions
    "IF(1 > 2, 2, 3)": 3,
    "IF(5 & 4, 'yes', 'no')": "yes",
    "IF(NULL, 1, 0)": 0,
    "IFNULL(NULL, 10)": 10,
    "ISNULL(1 / 0)": 1,
    "ISNULL(1) + 1": 1,
    "NULLIF(1, 1)": None,
    "COALESCE(NULL, 4)": 4,
    "CASE WHEN 2 THEN 'two' ELSE 'other' END": "two",
    "CASE 2 WHEN 1 THEN 'one' WHEN 2 THEN 'two' END": "two",
    "CASE WHEN 1 THEN 2 > 1 END": 1,
    "GREATEST(1, 3, 2)": 3,
    "GREATEST(1, NULL)": None,
    "LEAST(4, 3)": 3,
    # Texts
    '"double"': "double",
    "'it''s'": "it's",
    "'it\\'s'": "it's",
    '"say \\"hi\\""': 'say "hi"',
    "'tab\\there'": "tab\there",
    "'a\\\\b'": "a\\b",
    "'100%' LIKE '100\\%'": 1,
    "'1000' LIKE '100\\%'": 0,
    "'David!' LIKE 'david_'": 1,
    "'abc' NOT LIKE 'A%'": 0,
    "'a%' LIKE 'A|%' ESCAPE '|'": 1,
    "'ab' NOT LIKE 'a|%' ESCAPE '|'": 1,
    "'Michael!' REGEXP '^m.*l!$'": 1,
    "'Michael' NOT REGEXP '^X'": 1,
    "'abc' RLIKE 'B'": 1,
    "CONCAT('My', 'S', 14, 'QL')": "MyS14QL",
    "CONCAT('My', NULL, 'QL')": None,
    "CONCAT_WS(',', 'First', NULL, 'Last')": "First,Last",
    "LENGTH('é')": 2,
    "CHAR_LENGTH('é')": 1,
    "UCASE('a')": "A",
    "LCASE('A')": "a",
    "SUBSTRING('Quadratically', 5)": "ratically",
    "SUBSTRING('Quadratically', 5, 6)": "ratica",
    "SUBSTRING('Sakila', -3)": "ila",
    "SUBSTRING('Sakila', -5, 3)": "aki",
    "SUBSTRING('Sakila' FROM -4 FOR 2)": "ki",
    "SUBSTR('Sakila', 0)": "",
    "SUBSTR('Sakila', -9)": "",
    "SUBSTR(NULL, 1)": None,
    "MID('Sakila', 2, 3)": "aki",
    "LEFT('foobarbar', 5)": "fooba",
    "LEFT('foobarbar', -1)": "",
    "RIGHT('foobarbar', 4)": "rbar",
    "INSTR('foobarbar', 'bar')": 4,
    "LOCATE('BAR', 'foobarbar')": 4,
    "POSITION('bar' IN 'foobarbar')": 4,
    "REPLACE('www.mysql.com', 'w', 'Ww')": "WwWwWw.mysql.com",
    "REVERSE('abc')": "cba",
    "REPEAT('ab', 2)": "abab",
    "LPAD('hi', 4, '??')": "??hi",
    "TRIM('  bar   ')": "bar",
    "TRIM(LEADING 'x' FROM 'xxxbarxxx')": "barxxx",
    "LTRIM('  a')": "a",
    "STRCMP('text', 'text2')": -1,
    "HEX(255)": "FF",
    "MD5('abc')": "900150983cd24fb0d6963f7d28e17f72",
    # Casts
    "CAST('12' AS SIGNED)": 12,
    "CAST(3 AS CHAR)": "3",
    "CAST('abcd' AS CHAR(2))": "ab",
    "CAST(1.5 AS DECIMAL(5, 2))": 1.5,
    "CONVERT('5', UNSIGNED)": 5,
    "CAST('2020-01-02 03:04:05' AS DATETIME)": at("2020-01-02 03:04:05"),
    # Times
    "NOW()": at("2026-07-25 03:04:05"),
    "CURRENT_TIMESTAMP": at("2026-07-25 03:04:05"),
    "CURDATE()": date(2026, 7, 25),
    "CURRENT_DATE": date(2026, 7, 25),
    "UNIX_TIMESTAMP()": 1784948645.0,
    "UNIX_TIMESTAMP('2015-11-13 10:20:19')": 1447410019.0,
    "FROM_UNIXTIME(1447410019)": at("2015-11-13 10:20:19"),
    "DATE('2003-12-31 01:02:03')": date(2003, 12, 31),
    "DATEDIFF('2007-12-31 23:59:59', '2007-12-30')": 1,
    "DATE_ADD('2018-05-01', INTERVAL 1 DAY)": at("2018-05-02 00:00:00"),
    "DATE_SUB('2018-05-01', INTERVAL 1 + 1 MONTH)": at("2018-03-01 00:00:00"),
    "NOW() - INTERVAL 1 HOUR": at("2026-07-25 02:04:05"),
    "YEAR('1987-01-01') + MONTH('2008-02-03') + DAY('2007-02-03')": 1992,
    "DAYOFWEEK('2007-02-03')": 7,
    "WEEKDAY('2008-02-03 22:23:00')": 6,
    "DAYOFYEAR('2007-02-03')": 34,
    "HOUR('2008-02-03 10:05:03') * 100 + MINUTE('2008-02-03 10:05:03')": 1005,
    "SECOND('2008-02-03 10:05:03.9')": 3,
    # Functions of the sky, under Qserv's names
    "scisql_s2PtInCircle(1, 1, 1, 1, 0.1) && 1": 1,
    "ROUND(scisql_angSep(0, 0, 0, 1), 6)": 1.0,
}


@pytest.mark.parametrize(("expression", "expected"), VALUES.items())
def test_an_expression_has_mysqls_value(expression, expected, value):
    found = value(expression, "mysql")
    found = float(found) if isinstance(found, Decimal | float) else found
    assert found == (pytest.approx(expected, rel=1e-9, abs=1e-12) if isinstance(expected, float) else expected)
    assert not isinstance(found, bool)


ROWS = {
    "SUM(x > 3)": 2,
    "COUNT(*)": 5,
    "STD(x) = STDDEV_POP(x)": 1,
    "VARIANCE(x)": 2.0,
    "VAR_SAMP(x)": 2.5,
    "BIT_OR(x)": 7,
    "GROUP_CONCAT(x ORDER BY x DESC SEPARATOR '-')": "5-4-3-2-1",
    "GROUP_CONCAT(x ORDER BY x)": "1,2,3,4,5",
    "scisql_median(x)": 3.0,
    "scisql_percentile(x, 90)": 4.6,
    "COUNT(DISTINCT x % 2)": 2,
    "AVG(x) / 0": None,
}


@pytest.mark.parametrize(("expression", "expected"), ROWS.items())
def test_an_aggregate_has_mysqls_value(expression, expected, value):
    found = value(expression, "mysql", rows="FROM (SELECT 1 AS x UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5) AS t")
    found = float(found) if isinstance(found, Decimal | float) else found
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SELECT `o`.`objectId` FROM `Object` AS `o`", 'SELECT o.objectId FROM Object AS "o"'),
        ("SELECT a FROM t LIMIT 5, 10", "SELECT a FROM t LIMIT 10 OFFSET 5"),
        ("SELECT SQL_NO_CACHE a FROM t # a comment", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b", "SELECT a FROM t WHERE qserv.truth(b)"),
        ("SELECT a FROM t WHERE b = TRUE", "SELECT a FROM t WHERE b = TRUE"),
        ("SELECT a FROM t WHERE a = 1 OR b > 2 && c < 3", "SELECT a FROM t WHERE a = 1 OR (b > 2 AND c < 3)"),
        (
            "SELECT a FROM t WHERE scisql_s2PtInBox(a, b, 1, 2, 3, 4)",
            "SELECT a FROM t WHERE SCISQL_S2PTINBOX(a, b, 1, 2, 3, 4) = 1",
        ),
        ("SELECT a FROM t WHERE qserv_areaspec_box(1, 2, 3, 4)", "SELECT a FROM t WHERE QSERV_AREASPEC_BOX(1, 2, 3, 4)"),
        (
            "SELECT a, COUNT(*) AS n FROM t GROUP BY a HAVING n > 3",
            "SELECT a, COUNT(*) AS n FROM t GROUP BY a HAVING (COUNT(*)) > 3",
        ),
        ("SELECT a FROM t ORDER BY a, b DESC", "SELECT a FROM t ORDER BY a NULLS FIRST, b DESC NULLS LAST"),
        ("SELECT a FROM t JOIN u ON t.x && u.y", "SELECT a FROM t JOIN u ON qserv.truth(t.x) AND qserv.truth(u.y)"),
        (
            "SELECT a FROM t WHERE a = (SELECT MAX(b) FROM u WHERE u.c)",
            "SELECT a FROM t WHERE a = (SELECT MAX(b) FROM u WHERE qserv.truth(u.c))",
        ),
    ],
)
def test_a_query_is_read_as_the_native_dialect_would_write_it(text, written):
    assert parse(text, "mysql").sql("postgres", comments=False) == written


def test_ten_thousand_operands_are_no_depth():
    keys = " OR ".join(f"objectId = {key}" for key in range(10_000))
    assert len(list(parse(f"SELECT a FROM t WHERE {keys}", "mysql").args["where"].this.flatten())) == 10_000  # noqa: S608 (no database)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("SELECT a FROM", QuerySyntaxError, "syntax error"),
        ("SELECT 'a", QuerySyntaxError, "does not end"),
        ("DROP TABLE t", QueryError, "only SELECT is answered"),
        ("SHOW TABLES", QueryError, "only SELECT is answered"),
        ("SELECT scisql_raiseError('x')", QueryError, "scisql_raiseError is not available"),
    ],
)
def test_what_is_no_query_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        parse(text, "mysql")


@pytest.mark.parametrize(
    "call", ["SLEEP(5)", "LOAD_FILE('/etc/passwd')", "BENCHMARK(9, 1)", "VERSION()", "DATE_FORMAT(1, 2)", "IF_NULL(1, 2)"]
)
def test_functions_that_are_not_known_are_refused(call, rewritten):
    with pytest.raises(UnknownNameError, match=f"unknown function {call.split('(')[0]}"):
        rewritten(f"SELECT {call}", "mysql")


def test_a_dialect_must_be_one():
    with pytest.raises(QueryValueError, match="unknown dialect oracle; the dialects are native, mysql"):
        parse("SELECT 1", "oracle")

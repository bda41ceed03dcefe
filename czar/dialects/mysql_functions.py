"""What the functions of MySQL are in PostgreSQL, as pairs of text. In both, ``a``, ``b`` and ``c`` are the arguments.

Where MySQL gives NULL outside of the domain of a function, so does the function of schema ``qserv``. Functions that are not here
have the same name and meaning in PostgreSQL, or are unknown.
"""

from functools import cache
from typing import Final

from sqlglot import exp

from czar.dialects.native import read_native

MEANINGS: Final = {
    # Mathematics
    "ln(a)": "qserv.ln(a)",
    "log(a)": "qserv.ln(a)",
    "log(a, b)": "qserv.divide(qserv.ln(b), qserv.ln(a))",
    "log2(a)": "qserv.ln(a) / ln(2::float8)",
    "log10(a)": "qserv.log10(a)",
    "sqrt(a)": "qserv.sqrt(a)",
    "exp(a)": "qserv.exp(a)",
    "pow(a, b)": "qserv.power(a, b)",
    "power(a, b)": "qserv.power(a, b)",
    "asin(a)": "qserv.asin(a)",
    "acos(a)": "qserv.acos(a)",
    "atan(a, b)": "atan2(a, b)",
    "mod(a, b)": "qserv.mod(a, b)",
    "round(a)": "qserv.round(a, 0)",
    "round(a, b)": "qserv.round(a, b)",
    "truncate(a, b)": "qserv.truncate(a, b)",
    "rand()": "random()",
    "cot(a)": "CASE WHEN sin(a) <> 0 THEN cot(a) END",
    # Conditions
    "ifnull(a, b)": "COALESCE(a, b)",
    "isnull(a)": "a IS NULL",
    # Texts. A position before the first character, or a negative number of characters, is not an error in MySQL.
    "ucase(a)": "upper(a)",
    "lcase(a)": "lower(a)",
    "length(a)": "octet_length(a)",
    "left(a, b)": "left(a, GREATEST(b, 0))",
    "right(a, b)": "right(a, GREATEST(b, 0))",
    "substr(a, b)": "qserv.mysql_substr(a, b)",
    "substr(a, b, c)": "qserv.mysql_substr(a, b, c)",
    "instr(a, b)": "strpos(lower(a), lower(b))",
    "locate(a, b)": "strpos(lower(b), lower(a))",
    "strcmp(a, b)": "CASE WHEN a < b THEN -1 WHEN a = b THEN 0 WHEN a > b THEN 1 END",
    "space(a)": "repeat(' ', a)",
    "hex(a)": "upper(to_hex(a))",
    # Times. Texts are read as times, as MySQL does.
    "now()": "date_trunc('second', CAST(CURRENT_TIMESTAMP AS TIMESTAMP))",
    "sysdate()": "date_trunc('second', CAST(CURRENT_TIMESTAMP AS TIMESTAMP))",
    "current_timestamp()": "date_trunc('second', CAST(CURRENT_TIMESTAMP AS TIMESTAMP))",
    "utc_timestamp()": "date_trunc('second', CAST(CURRENT_TIMESTAMP AS TIMESTAMP))",
    "curdate()": "CURRENT_DATE",
    "current_date()": "CURRENT_DATE",
    "utc_date()": "CURRENT_DATE",
    "unix_timestamp()": "floor(date_part('epoch', CURRENT_TIMESTAMP))",
    "unix_timestamp(a)": "date_part('epoch', CAST(a AS TIMESTAMP))",
    "from_unixtime(a)": "CAST(to_timestamp(a) AS TIMESTAMP)",
    "date(a)": "CAST(CAST(a AS TIMESTAMP) AS DATE)",
    "datediff(a, b)": "CAST(CAST(a AS TIMESTAMP) AS DATE) - CAST(CAST(b AS TIMESTAMP) AS DATE)",
    "date_add(a, b)": "CAST(a AS TIMESTAMP) + b",
    "date_sub(a, b)": "CAST(a AS TIMESTAMP) - b",
    "year(a)": "CAST(date_part('year', CAST(a AS TIMESTAMP)) AS INT)",
    "quarter(a)": "CAST(date_part('quarter', CAST(a AS TIMESTAMP)) AS INT)",
    "month(a)": "CAST(date_part('month', CAST(a AS TIMESTAMP)) AS INT)",
    "day(a)": "CAST(date_part('day', CAST(a AS TIMESTAMP)) AS INT)",
    "dayofmonth(a)": "CAST(date_part('day', CAST(a AS TIMESTAMP)) AS INT)",
    "dayofweek(a)": "CAST(date_part('dow', CAST(a AS TIMESTAMP)) AS INT) + 1",
    "weekday(a)": "CAST(date_part('isodow', CAST(a AS TIMESTAMP)) AS INT) - 1",
    "dayofyear(a)": "CAST(date_part('doy', CAST(a AS TIMESTAMP)) AS INT)",
    "hour(a)": "CAST(date_part('hour', CAST(a AS TIMESTAMP)) AS INT)",
    "minute(a)": "CAST(date_part('minute', CAST(a AS TIMESTAMP)) AS INT)",
    "second(a)": "CAST(floor(date_part('second', CAST(a AS TIMESTAMP))) AS INT)",
}

NAMES: Final = frozenset(call.partition("(")[0] for call in MEANINGS)


@cache
def _meanings() -> dict[tuple[str, int], exp.Expr]:
    """Return the PostgreSQL form by name and number of arguments."""
    found: dict[tuple[str, int], exp.Expr] = {}
    for call, meaning in MEANINGS.items():
        name, _, arguments = call.partition("(")
        count = 0 if arguments == ")" else arguments.count(",") + 1
        (select,) = read_native(f"SELECT {meaning}")
        found[name, count] = select.expressions[0]
    return found


def meaning(name: str, arguments: list[exp.Expr]) -> exp.Expr | None:
    """Return what a call of a function of MySQL is in PostgreSQL; None where it is no function of `MEANINGS`."""
    form = _meanings().get((name, len(arguments)))
    if form is None:
        return None
    given = dict(zip("abc", arguments, strict=False))

    def put(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name in given:
            argument = given[node.name].copy()
            return argument if isinstance(argument, exp.Column | exp.Literal | exp.Func | exp.Paren) else exp.Paren(this=argument)
        return node

    return form.copy().transform(put)

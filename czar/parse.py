"""Text of a query -> syntax tree."""

from collections.abc import Callable

from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from czar.dialects.mysql import read_mysql
from czar.dialects.native import read_native
from czar.dialects.places import place_of
from czar.dialects.scisql import with_scisql_aggregates
from qserv.errors import Place, QueryError, QueryLimitError, QuerySyntaxError, QueryValueError

__all__ = ["DIALECTS", "MAX_TEXT_BYTES", "NUL", "TOO_DEEP", "one_query", "parse", "place_of"]

DIALECTS: dict[str, Callable[[str], list[exp.Expr]]] = {"native": read_native, "mysql": read_mysql}
"""Dialects that are read here; ADQL is read by ``tap.adql``. Each gives the tree that the native dialect would give."""

MAX_TEXT_BYTES = 4_000_000
"""Longest query text: a list of 100,000 keys of 19 digits is 2 MB; parsing takes about 1 s a MB."""

NUL = "the query holds a NUL character, which no text of PostgreSQL can hold"

TOO_DEEP = "the query is nested too deeply; write long lists with IN (...), and long sums as fewer terms"


def parse(text: str, dialect: str = "native") -> exp.Expr:
    """Read a query of the native dialect, which is PostgreSQL's SELECT, or of ``mysql``, which is Qserv's.

    Raises
    ------
    QuerySyntaxError
        The text is not one statement.
    QueryValueError
        There is no such dialect.
    QueryError
        The statement is not a SELECT.
    """
    if len(text.encode()) > MAX_TEXT_BYTES:
        msg = f"the query is longer than {MAX_TEXT_BYTES:,} bytes; join to an uploaded table rather than listing values"
        raise QueryLimitError(msg)
    if "\0" in text:
        raise QuerySyntaxError(NUL)
    if dialect not in DIALECTS:
        msg = f"unknown dialect {dialect}; the dialects are {', '.join(DIALECTS)}, and adql through TAP"
        raise QueryValueError(msg)
    try:
        statements = DIALECTS[dialect](text)
    except ParseError as error:
        raise _syntax_error(error) from error
    except TokenError as error:
        msg = f"a quoted text, name or comment does not end: {error}"
        raise QuerySyntaxError(msg) from error
    except RecursionError as error:
        raise QueryLimitError(TOO_DEEP) from error
    if len(statements) != 1:
        msg = f"one SELECT was expected, {len(statements)} statements were found"
        raise QuerySyntaxError(msg)
    with_scisql_aggregates(statements[0], text)
    return one_query(statements[0], text)


def one_query(statement: exp.Expr, text: str) -> exp.Expr:
    """Return the statement if it is a SELECT, VALUES, a set operation, or one of them in parentheses; else raise what it is."""
    if isinstance(statement, exp.Select | exp.SetOperation | exp.Subquery | exp.Values):
        return statement
    first_word = text.split(maxsplit=1)[0][:40] if text.split() else "nothing"
    msg = f"only SELECT is answered; the query starts with {first_word}"
    raise QueryError(msg, Place(1, 1))


def _syntax_error(error: ParseError) -> QuerySyntaxError:
    details = error.errors[0] if error.errors else {}
    place = None
    highlight = details.get("highlight") or ""
    if details.get("line"):
        # sqlglot counts the column of a token's last character.
        place = Place(details["line"], max(1, details["col"] - len(highlight) + 1))
    found = f" at {highlight!r}" if highlight else ""
    description = str(details.get("description", error)).split(" but got ")[0]
    if description.startswith("Required keyword"):
        description = "Expected an expression"
    return QuerySyntaxError(f"syntax error{found}: {description[:1].lower()}{description[1:]}", place)

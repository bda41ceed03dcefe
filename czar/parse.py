"""Text of a query -> syntax tree of its one SELECT."""

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from qserv.errors import NotYetSupportedError, Place, QueryError, QueryLimitError, QuerySyntaxError

MAX_TEXT_BYTES = 4_000_000
"""Longest query text: a list of 100,000 keys of 19 digits is 2 MB; parsing takes about 1 s a MB."""

NUL = "the query holds a NUL character, which no text of PostgreSQL can hold"

TOO_DEEP = "the query is nested too deeply; write long lists with IN (...), and long sums as fewer terms"


def parse(text: str) -> exp.Select:
    """Read a query of the native dialect, which is PostgreSQL's SELECT.

    Raises
    ------
    QuerySyntaxError
        The text is not one statement.
    QueryError
        The statement is not a SELECT.
    NotYetSupportedError
        It is a set operation.
    """
    if len(text.encode()) > MAX_TEXT_BYTES:
        msg = f"the query is longer than {MAX_TEXT_BYTES:,} bytes; join to an uploaded table rather than listing values"
        raise QueryLimitError(msg)
    if "\0" in text:
        raise QuerySyntaxError(NUL)
    try:
        statements = [statement for statement in sqlglot.parse(text, read="postgres") if statement is not None]
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
    return one_select(statements[0], text)


def one_select(statement: exp.Expr, text: str) -> exp.Select:
    """Return the statement if it is a plain SELECT, else raise the error that says why not."""
    if isinstance(statement, exp.Select):
        return statement
    if isinstance(statement, exp.SetOperation | exp.Subquery):
        msg = "not yet supported: UNION, EXCEPT, INTERSECT and a query in parentheses"
        raise NotYetSupportedError(msg, Place(1, 1))
    first_word = text.split(maxsplit=1)[0][:40] if text.split() else "nothing"
    msg = f"only SELECT is answered; the query starts with {first_word}"
    raise QueryError(msg, Place(1, 1))


def place_of(node: exp.Expr, text: str) -> Place | None:
    """Return where a node of the tree starts in the text, or the nearest part around it of which the parser noted the start."""
    around: exp.Expr | None = node
    starts: list[int] = []
    while around is not None and not starts:
        starts = [part.meta["start"] for part in around.walk() if "start" in part.meta]
        around = around.parent
    if not starts or min(starts) > len(text):
        return None
    before = text[: min(starts)]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


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

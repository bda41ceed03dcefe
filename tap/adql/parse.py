"""From the text of an ADQL query to the PostgreSQL tree that the czar takes."""

from sqlglot import exp

from czar.parse import MAX_TEXT_BYTES, NUL
from qserv.errors import QueryLimitError, QuerySyntaxError
from tap.adql.queries import Queries


def parse_adql(text: str) -> exp.Query:
    """Parse an ADQL 2.1 query.

    The tree is of the shape that sqlglot parses PostgreSQL to, with two exceptions: geometry functions stay function nodes by
    their ADQL names (`sqlglot.exp.Anonymous`), and functions whose meaning differs are those of the PostgreSQL schema ``qserv``.
    Decimal literals are double precision in ADQL; the czar gives all of them that type. Identifiers and functions carry their
    place as ``meta``, as sqlglot's own parsers write it.

    Returns
    -------
    sqlglot.exp.Query
        A `~sqlglot.exp.Select`, or a set operation of several.

    Raises
    ------
    QuerySyntaxError
        The text is not one query of ADQL 2.1; the message names line, column and what was expected there.
    UnknownNameError
        A function is not known; the message names the nearest one.
    QueryValueError
        A coordinate system other than ICRS is named.
    NotYetSupportedError
        A function of ADQL that cannot be computed yet.
    QueryLimitError
        The text is too long.
    """
    if len(text.encode()) > MAX_TEXT_BYTES:
        msg = f"the query is longer than {MAX_TEXT_BYTES:,} bytes"
        raise QueryLimitError(msg)
    if "\0" in text:
        raise QuerySyntaxError(NUL)
    return Queries(text).statement()

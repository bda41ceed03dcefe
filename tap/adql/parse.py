"""From the text of an ADQL query to the PostgreSQL tree that the czar takes."""

from sqlglot import exp

from tap.adql.decimals import type_decimals
from tap.adql.queries import Queries


def parse_adql(text: str) -> exp.Query:
    """Parse an ADQL 2.1 query.

    The tree is of the shape that sqlglot parses PostgreSQL to, with two exceptions: geometry functions stay function nodes by
    their ADQL names (`sqlglot.exp.Anonymous`), and functions whose meaning differs are those of the PostgreSQL schema ``qserv``.
    Identifiers and functions carry their place as ``meta``, as sqlglot's own parsers write it.

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
    """
    reader = Queries(text)
    query = reader.statement()
    type_decimals(reader.decimals)
    return query

"""What a client asks for: parameters of a TAP request (TAP 1.1, section 2; DALI 1.1, section 3.4)."""

from collections.abc import Iterable
from dataclasses import dataclass

from qserv.errors import NotYetSupportedError, QueryValueError
from tap.formats.outputs import OutputFormat, find_output

LANGUAGES = frozenset({"ADQL", "ADQL-2.0", "ADQL-2.1"})
"""Values of LANG; upper and lower case mean the same."""

VERSIONS = frozenset({"1.0", "1.1"})
"""Versions of TAP that a request may ask for."""


@dataclass(frozen=True)
class QueryRequest:
    """A request to answer a query."""

    query: str
    output: OutputFormat
    maxrec: int | None = None
    run_id: str | None = None


def read_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return parameters by their upper-case names; empty ones count as not given (DALI 1.1, section 2.3.2).

    Raises
    ------
    QueryValueError
        A parameter has two values.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.upper()
        if not value.strip():
            continue
        if found.setdefault(key, value) != value and key != "UPLOAD":
            msg = f"{key} is given twice, as {found[key]!r} and as {value!r}; it takes one value"
            raise QueryValueError(msg)
    return found


def read_request(parameters: dict[str, str]) -> QueryRequest:
    """Return what is asked for.

    Raises
    ------
    QueryValueError
        A parameter is missing or has a value that it cannot have.
    NotYetSupportedError
        A table is uploaded.
    """
    request = parameters.get("REQUEST", "doQuery")
    if request.lower() != "doquery":
        msg = f"REQUEST {request!r} is not known; it is doQuery (capabilities are at /tap/capabilities)"
        raise QueryValueError(msg)
    version = parameters.get("VERSION", "1.1")
    if version not in VERSIONS:
        msg = f"VERSION {version!r} is not supported; there are: {', '.join(sorted(VERSIONS))}"
        raise QueryValueError(msg)
    language = parameters.get("LANG", "ADQL")
    if language.upper() not in LANGUAGES:
        msg = f"LANG {language!r} is not supported; there are: {', '.join(sorted(LANGUAGES))}"
        raise QueryValueError(msg)
    if "UPLOAD" in parameters:
        msg = "not yet supported: UPLOAD of tables"
        raise NotYetSupportedError(msg)
    query = parameters.get("QUERY")
    if query is None:
        msg = "QUERY is missing: it holds the query, in ADQL"
        raise QueryValueError(msg)
    return QueryRequest(
        query=query,
        output=find_output(parameters.get("RESPONSEFORMAT") or parameters.get("FORMAT")),
        maxrec=_maxrec(parameters.get("MAXREC")),
        run_id=parameters.get("RUNID"),
    )


def _maxrec(text: str | None) -> int | None:
    """Return MAXREC as a number."""
    if text is None:
        return None
    if not text.strip().isascii() or not text.strip().isdigit():
        msg = f"MAXREC {text!r} is not a number of rows: 0 or more"
        raise QueryValueError(msg)
    return int(text)

"""How a command asks a query: the statement as it was given, read in its dialect, in a session of its own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qserv.cluster import Cluster, Secrets
from qserv.settings import Settings

if TYPE_CHECKING:
    from sqlglot import exp

    from czar.session import Session


class Dialect(StrEnum):
    """Languages that a query may be written in."""

    NATIVE = "native"
    ADQL = "adql"


StatementArgument = Annotated[str, typer.Argument(help="The query; - reads it from standard input.", show_default=False)]
DialectOption = Annotated[Dialect, typer.Option("--dialect", help="native is PostgreSQL's SELECT.")]


def statement_text(statement: str) -> str:
    """Return the text of a query given on the command line."""
    return sys.stdin.read() if statement == "-" else statement


def read_statement(text: str, dialect: Dialect) -> "str | exp.Expr":
    """Return what a session takes: a checked tree for ADQL, the text itself for the native dialect."""
    if dialect is Dialect.NATIVE:
        return text
    from tap.adql.parse import parse_adql  # noqa: PLC0415 (sqlglot is not needed for --help)

    return parse_adql(text)


@asynccontextmanager
async def open_session(settings: Settings) -> "AsyncIterator[Session]":
    """Open a session with the running cluster, and close it."""
    from czar.session import Session  # noqa: PLC0415 (heavy, not needed for --help)

    session = await Session.open(Cluster.load(settings.home), Secrets.load(settings.home), settings)
    try:
        yield session
    finally:
        await session.close()

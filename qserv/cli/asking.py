"""How a command asks a czar: the statement as it was given, and a client of the cluster that runs."""

import contextlib
import getpass
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from qserv.errors import NoSuchJobError, QueryValueError
from qserv.settings import Settings

if TYPE_CHECKING:
    from czar.service.client import Czar


class Dialect(StrEnum):
    """Languages that a query may be written in."""

    NATIVE = "native"
    ADQL = "adql"
    MYSQL = "mysql"


StatementArgument = Annotated[str, typer.Argument(help="The query; - reads it from standard input.", show_default=False)]
DialectOption = Annotated[Dialect, typer.Option("--dialect", help="native is PostgreSQL's SELECT, mysql is Qserv's.")]


def id_named(name: str, ids: Iterable[UUID]) -> UUID:
    """Return the id that a name is, or begins; a whole id need not be among those given.

    Raises
    ------
    QueryValueError
        It begins several.
    NoSuchJobError
        It begins none.
    """
    with contextlib.suppress(ValueError):
        return UUID(name)
    found = {one for one in ids if str(one).startswith(name.lower())}
    if len(found) == 1:
        return found.pop()
    if found:
        msg = f"{len(found)} ids begin with {name}; write more of it"
        raise QueryValueError(msg)
    msg = f"no id begins with {name}; `qserv queries` lists what runs, `qserv jobs` all jobs"
    raise NoSuchJobError(msg)


def statement_text(statement: str) -> str:
    """Return the text of a query given on the command line."""
    return sys.stdin.read() if statement == "-" else statement


def open_czar(settings: Settings) -> "Czar":
    """Return a client of the running cluster, for who runs this command; close it.

    Raises
    ------
    ClusterNotRunningError
        No cluster runs.
    """
    from czar.service.client import Czar  # noqa: PLC0415 (heavy, not needed for --help)

    return Czar.of_home(settings.home, getpass.getuser())

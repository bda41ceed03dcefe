"""``qserv cancel``."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from qserv.cli.asking import open_czar
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.errors import NoSuchJobError, QueryValueError

if TYPE_CHECKING:
    from czar.service.client import Czar


def command(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of a query or job, or as much of it as is its own.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a query that runs, or a job."""
    with open_czar(load_settings(home=home)) as czar:
        found = _found(czar, name)
        try:
            czar.cancel_job(found)
        except NoSuchJobError:
            czar.cancel_query(found)
    if as_json:
        print_json({"cancelled": str(found)})
    else:
        console.print(f"stopping {found}", soft_wrap=True)


def _found(czar: "Czar", name: str) -> UUID:
    """Return the id that a name begins.

    Raises
    ------
    QueryValueError
        It begins several.
    NoSuchJobError
        It begins none.
    """
    try:
        return UUID(name)
    except ValueError:
        pass
    ids = {query.query_id for query in czar.queries()} | {job.job_id for job in czar.jobs() if not job.state.ended}
    found = [one for one in ids if str(one).startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"{len(found)} queries begin with {name}; write more of the id"
        raise QueryValueError(msg)
    msg = f"no query that runs begins with {name}; `qserv queries` lists them"
    raise NoSuchJobError(msg)

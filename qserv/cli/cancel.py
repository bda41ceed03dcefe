"""``qserv cancel``."""

from typing import Annotated
from uuid import UUID

import typer

from qserv.cli.asking import id_named, open_czar
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.errors import NoSuchJobError


def command(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of a query or job, or as much of it as is its own.")],
    delete: Annotated[bool, typer.Option("--delete", help="Of a job: delete it with its result, too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a query that runs, or a job."""
    with open_czar(load_settings(home=home)) as czar:
        jobs = [job.job_id for job in czar.jobs() if delete or not job.state.ended]
        found: UUID = id_named(name, jobs if delete else [*jobs, *(query.query_id for query in czar.queries())])
        if delete:
            czar.delete_job(found)
        else:
            try:
                czar.cancel_job(found)
            except NoSuchJobError:
                czar.cancel_query(found)
    done = "deleted" if delete else "cancelled"
    if as_json:
        print_json({done: str(found)})
    else:
        console.print(f"{done} {found}" if delete else f"stopping {found}", soft_wrap=True)

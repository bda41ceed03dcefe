"""``qserv submit``."""

from typing import Annotated

import typer

from qserv.cli.asking import Dialect, DialectOption, StatementArgument, open_czar, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json


def command(
    statement: StatementArgument,
    dialect: DialectOption = Dialect.NATIVE,
    max_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of the result at the most; default: as many as the service allows.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a query that runs on its own, whether or not anybody waits; `qserv result` fetches its rows."""
    with open_czar(load_settings(home=home)) as czar:
        job = czar.submit(statement_text(statement), dialect=dialect.value, max_rows=max_rows)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        console.print(f"{job.job_id}\n`qserv jobs {str(job.job_id)[:8]}` tells how far it is", markup=False, soft_wrap=True)

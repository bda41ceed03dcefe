"""``qserv explain``."""

from typing import Annotated

import typer

from qserv.cli.asking import Dialect, DialectOption, StatementArgument, open_czar, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import print_json


def command(
    statement: StatementArgument,
    dialect: DialectOption = Dialect.NATIVE,
    analyze: Annotated[bool, typer.Option("--analyze", help="Run the query, and show what each part of it took.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the running cluster would answer a query: chunks, nodes, why, and what runs where."""
    with open_czar(load_settings(home=home)) as czar:
        plan = czar.explain(statement_text(statement), dialect=dialect.value, analyze=analyze)
    if as_json:
        print_json(plan.facts)
    else:
        print(plan.text)  # noqa: T201 (a CLI's answer; rich would wrap the SQL)

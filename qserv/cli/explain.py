"""``qserv explain``."""

import asyncio

from qserv.cli.asking import Dialect, DialectOption, StatementArgument, open_session, read_statement, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import print_json
from qserv.settings import Settings


def command(
    statement: StatementArgument,
    dialect: DialectOption = Dialect.NATIVE,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the running cluster would answer a query: chunks, nodes, why, and what runs where."""
    asyncio.run(_explained(load_settings(home=home), statement_text(statement), dialect, as_json=as_json))


async def _explained(settings: Settings, text: str, dialect: Dialect, *, as_json: bool) -> None:
    async with open_session(settings) as session:
        explanation = await session.explain(read_statement(text, dialect), text=text)
    if as_json:
        print_json(explanation.to_json())
    else:
        print(explanation.text)  # noqa: T201 (a CLI's answer; rich would wrap the SQL)

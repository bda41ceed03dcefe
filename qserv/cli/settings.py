"""``qserv settings``."""

from typing import Annotated

import typer

from qserv.cli.options import JsonOption, load_settings
from qserv.cli.output import print_json, print_table
from qserv.settings import ENV_PREFIX, reference_page


def command(
    as_json: JsonOption = False,
    reference: Annotated[bool, typer.Option("--reference", help="Print the reference page, docs/settings.md.")] = False,
) -> None:
    """Show the settings in force."""
    if reference:
        print(reference_page(), end="")  # noqa: T201 (the page itself, to be redirected into the file)
        return
    values = load_settings().model_dump(mode="json")
    if as_json:
        print_json(values)
    else:
        print_table(
            ("variable", "value"),
            ((f"{ENV_PREFIX}{name.upper()}", "" if value is None else str(value)) for name, value in values.items()),
        )

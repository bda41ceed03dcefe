"""Options that several commands have, and settings as a command sees them."""

from pathlib import Path
from typing import Annotated

import typer

from qserv.settings import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Directory of the cluster; default: QSERV_HOME.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts, and errors, as JSON.")]


def load_settings(**given: object) -> Settings:
    """Return the settings, where an option that was given (is not None) goes before its environment variable.

    Raises
    ------
    SettingsError
        One is unknown or out of its range.
    """
    return Settings.load(**{name: value for name, value in given.items() if value is not None})

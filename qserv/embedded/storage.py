"""Data directories: one template made by ``initdb``, copied for each server."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qserv.cluster import Role, Secrets
from qserv.embedded.account import Installation
from qserv.errors import ClusterError, StorageFullError

TEMPLATE = "template"
"""Directory, below the home, of the data directory that is copied."""

INITDB_OPTIONS = (
    "--data-checksums",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    # Byte order: the same on every machine, and what indexes on text are fastest with.
    "--locale=C",
    # The copies are synchronised, not the template.
    "--no-sync",
    f"--username={Role.ADMIN}",
)

FULL_DISK = "No space left on device"
"""How PostgreSQL's programs name ENOSPC, in the C locale."""


def prepare_data_directories(home: Path, names: list[str], installation: Installation, secrets: Secrets) -> None:
    """Make the data directories that are not there yet, and check those that are.

    Raises
    ------
    StorageFullError
        The disk is full. Nothing half-made is left behind under a final name.
    ClusterError
        A directory is of another PostgreSQL version or another user, or ``initdb`` failed.
    """
    with disk_full_as_error(home):
        missing = [name for name in names if not (home / name).exists()]
        for name in names:
            if name not in missing:
                _check(home / name, installation)
        if not missing:
            return
        _make_template(home, installation, secrets)
        for name in missing:
            new = _cleared(home / f"{name}.new")
            shutil.copytree(home / TEMPLATE, new, symlinks=True)
            installation.account.own(new)
        # One call for all copies: syncing their thousand files one by one takes longer.
        os.sync()
        for name in missing:
            (home / f"{name}.new").rename(home / name)


@contextmanager
def disk_full_as_error(place: Path) -> Iterator[None]:
    """Turn the system's ENOSPC and EDQUOT into an error that says which disk.

    Raises
    ------
    StorageFullError
        The disk, or the quota on it, is full.
    """
    try:
        yield
    except OSError as error:
        # `copytree` raises one error without a number that gathers the others as text.
        if error.errno in {errno.ENOSPC, errno.EDQUOT} or (isinstance(error, shutil.Error) and FULL_DISK in str(error)):
            raise storage_full(place) from error
        raise


def storage_full(place: Path) -> StorageFullError:
    """Return the error for a full disk that holds ``place``."""
    free_mib = shutil.disk_usage(place).free // 2**20
    return StorageFullError(
        f"the disk that holds {place} is full ({free_mib} MiB free); make room there, or set QSERV_HOME to another disk"
    )


def _make_template(home: Path, installation: Installation, secrets: Secrets) -> None:
    """Run ``initdb`` once for this home and PostgreSQL version."""
    template = home / TEMPLATE
    if template.exists() and _version(template) == installation.binaries.version:
        return
    new = _cleared(home / f"{TEMPLATE}.new")
    new.mkdir(mode=0o700)
    installation.account.own(new)
    password_file = home / f".{TEMPLATE}.password"
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.passwords[Role.ADMIN].get_secret_value())
    try:
        installation.account.own(password_file)
        arguments = [str(installation.binaries.initdb), "-D", str(new), f"--pwfile={password_file}", *INITDB_OPTIONS]
        process = installation.account.popen(arguments, subprocess.PIPE, home)
        output = process.communicate()[0].decode(errors="replace")
    finally:
        password_file.unlink()
    if process.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        if FULL_DISK in output:
            raise storage_full(home)
        msg = f"initdb failed in {home}: {output.strip().splitlines()[-1] if output.strip() else 'no message'}"
        raise ClusterError(msg)
    shutil.rmtree(template, ignore_errors=True)
    new.rename(template)


def _check(directory: Path, installation: Installation) -> None:
    """Refuse a data directory that these binaries cannot serve; give it to the account that will."""
    binaries = installation.binaries
    installation.account.own(directory)
    version = _version(directory)
    if version != binaries.version:
        msg = (
            f"{directory} was made by PostgreSQL {version or '(unknown)'}, but {binaries.directory} holds {binaries.version};"
            " set QSERV_PG_BIN to the programs of that version, or QSERV_HOME to a new home"
        )
        raise ClusterError(msg)


def _version(directory: Path) -> int | None:
    """Return the major version that made a data directory; None if it is no data directory."""
    try:
        return int((directory / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _cleared(path: Path) -> Path:
    """Remove what an earlier, interrupted run left under this name."""
    if path.exists():
        shutil.rmtree(path)
    return path

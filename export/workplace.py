"""A directory that is there whole or not at all: written under another name, and renamed."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ingest.hats import COLLECTION_FILE
from qserv.errors import ExportError, StorageFullError
from qserv.failpoints import durable

LOCK: Final = ".lock"
"""In the directory on the way: held by who writes it, so that nobody else does, and given up by who dies."""


@contextmanager
def written_whole(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty directory that becomes ``target`` when the block ends well, and is gone when it does not.

    One that was left by a process that died is emptied, and used.

    Raises
    ------
    ExportError
        Something is there already, or is being written.
    StorageFullError
        The disk is full.
    """
    target = target.absolute()
    on_the_way, old = (target.with_name(f".{target.name}.{what}") for what in ("export", "old"))
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not target.exists():
            old.rename(target)  # who replaced it died in between
        _check(target, overwrite=overwrite)
        on_the_way.mkdir(exist_ok=True)
        lock = os.open(on_the_way / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        _take(lock, target)
        try:
            with _explained(target):
                _empty(on_the_way)
                yield on_the_way
                _keep(on_the_way)
                _check(target, overwrite=overwrite)
                if target.exists():
                    target.rename(old)
                with durable("export.rename"):
                    on_the_way.rename(target)
                _sync(target.parent)
                (target / LOCK).unlink()
                shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(on_the_way, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _check(target: Path, *, overwrite: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        msg = f"{target} is there already; --overwrite replaces it"
        raise ExportError(msg)
    if not (target / COLLECTION_FILE).exists():
        msg = f"{target} is no collection of HATS catalogues, and is not deleted for one; name another directory"
        raise ExportError(msg)


def _take(lock: int, target: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{target} is being written by another export; wait for its end, or name another directory"
        raise ExportError(msg) from error


def _empty(directory: Path) -> None:
    for each in directory.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != LOCK:
            each.unlink()


def _keep(directory: Path) -> None:
    """Wait until all files are on disk."""
    for path, _, names in os.walk(directory):
        for name in names:
            _sync(Path(path, name))
        _sync(Path(path))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            msg = f"the disk of {target} is full; nothing of the export is left: make room, or name a directory elsewhere"
            raise StorageFullError(msg) from error
        msg = f"{target} cannot be written: {error.strerror or error}; nothing of the export is left"
        raise ExportError(msg) from error

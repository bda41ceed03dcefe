"""A table, or the answer of a query, as a collection of HATS catalogues: the rows, and the margins of the partitions."""

import re
from pathlib import Path

from czar.service.client import Czar
from export.asking import Asked, AskedQuery, AskedTable
from export.options import NO_PROGRESS, Exported, ExportOptions, Progress
from export.workplace import written_whole
from export.writer import Writer
from qserv.errors import ExportError

TABLE = re.compile(r"\s*(\w+)\.(\w+)\s*")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def asked_for(czar: Czar, what: str, *, dialect: str = "native", name: str = "", position: tuple[str, str] | None = None) -> Asked:
    """Return what a text names: a table as ``database.table``, or the answer of a query.

    Parameters
    ----------
    name
        Of the catalogue of an answer.
    position
        Columns of the answer that are right ascension and declination, where they do not say it.

    Raises
    ------
    ExportError
        The table has no position, or the name is none.
    UnknownNameError
        There is no such table.
    """
    table = TABLE.fullmatch(what)
    if table is not None:
        return AskedTable(czar, table[1], table[2])
    if NAME.fullmatch(name) is None:
        msg = f"{name!r} is no name for a catalogue, which begins with a letter and holds letters, digits and _; give one by --name"
        raise ExportError(msg)
    return AskedQuery(what, dialect, name, position)


def export(czar: Czar, asked: Asked, directory: Path, options: ExportOptions, progress: Progress = NO_PROGRESS) -> Exported:
    """Write a collection; it is there when it is whole, and nothing is when it fails.

    >>> with Czar.of_home(home) as czar:
    ...     export(czar, asked_for(czar, "stars.hipparcos"), Path("hipparcos"), ExportOptions())

    Raises
    ------
    ExportError
        It cannot be written so.
    QservError
        The rows cannot be had.
    """
    options.check()
    with written_whole(directory, overwrite=options.overwrite) as place:
        return Writer(czar, asked, place, options, progress).write()

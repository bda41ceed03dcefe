"""A load as the command line has it: asked of the ingest service, waited for, with a bar for each step."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from ingest.formats.source import ReadOptions
    from ingest.service.client import Ingest
    from ingest.service.models import LoadInfo, LoadRequest, ReportInfo, StageInfo
    from qserv.settings import Settings

LOOK_S = 0.5
"""How often the bars are drawn anew."""


@dataclass(frozen=True)
class Wish:
    """What is to be loaded. ``files`` are words by table: paths, directories, patterns, URLs."""

    schema: Path
    files: "Mapping[str, Sequence[str | Path]]"
    reading: "ReadOptions | None" = None
    replicas: int = 1
    replace: bool = False
    max_bad_rows: int = 0
    name: str | None = None
    chosen: str = field(init=False, default="")
    """Its name: the one that was given, or one of the moment."""

    def __post_init__(self) -> None:
        from ingest.provenance import new_name  # noqa: PLC0415 (heavy, not needed for --help)

        object.__setattr__(self, "chosen", self.name or new_name(self.schema.stem))

    def request(self) -> "LoadRequest":
        """Return it as the service reads it, which does not know from where it was asked."""
        from ingest.formats.source import DEFAULT  # noqa: PLC0415 (heavy, not needed for --help)
        from ingest.service.models import LoadRequest  # noqa: PLC0415

        return LoadRequest(
            schema_file=str(self.schema.absolute()),
            files={table: tuple(map(absolute, words)) for table, words in self.files.items()},
            reading=self.reading or DEFAULT,
            replicas=self.replicas,
            replace=self.replace,
            max_bad_rows=self.max_bad_rows,
        )


def queue(settings: "Settings", wish: Wish) -> "LoadInfo":
    """Ask for a load, and do not wait for it."""
    with open_ingest(settings) as ingest:
        return ingest.submit(wish.chosen, wish.request())


def load_with_progress(settings: "Settings", wish: Wish, *, rejects: Path | None = None, quiet: bool = False) -> "ReportInfo":
    """Load files into tables of the running cluster, a bar for each step unless ``quiet``. Ctrl-C cancels the load.

    Parameters
    ----------
    rejects
        Where rows that were set aside are named.

    Raises
    ------
    QservError
        The one with which the load ended.
    """
    from qserv.api.errors import error_of  # noqa: PLC0415 (heavy, not needed for --help)
    from qserv.errors import InternalError  # noqa: PLC0415

    with open_ingest(settings) as ingest:
        load = ingest.submit(wish.chosen, wish.request())
        try:
            load = watched(ingest, load, quiet=quiet)
        except KeyboardInterrupt:
            ingest.cancel(load.name)
            ingest.finished(load.name)
            raise
        if rejects is not None and (content := ingest.rejects(load.name)):
            rejects.write_bytes(content)
    if load.error is not None:
        raise error_of(load.error)
    if load.report is None:
        msg = f"load {load.name} is committed, and its report was lost; `qserv loads {load.name}` tells of it"
        raise InternalError(msg)
    return load.report


def open_ingest(settings: "Settings") -> "Ingest":
    """Return a client of the ingest service."""
    from ingest.service.client import Ingest  # noqa: PLC0415 (heavy, not needed for --help)

    return Ingest.of_home(settings.home)


def watched(ingest: "Ingest", load: "LoadInfo", *, quiet: bool) -> "LoadInfo":
    """Return a load when it has ended, or a transaction when it cannot be committed; show bars meanwhile."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Bars go to stderr, so that what is printed can be read by a program.
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bars = _Bars(shown)
        while not load.settled:
            load = ingest.load(load.name, LOOK_S)
            for stage in load.progress:
                bars.show(stage)
    return load


class _Bars:
    """One bar for each step of each table."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def show(self, stage: "StageInfo") -> None:
        key = (stage.table, stage.stage)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(f"{stage.table}: {stage.stage}", total=stage.total)
        self._bars.update(self._tasks[key], completed=stage.done, total=stage.total)


def absolute(word: str | Path) -> str:
    """Return a word that names the same files in any directory."""
    return str(word) if "://" in str(word) else os.path.abspath(word)  # noqa: PTH100 (a pattern is no path)

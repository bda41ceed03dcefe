"""``qserv send``."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qserv.cli.begin import NameArgument
from qserv.cli.ingest import (
    DelimiterOption,
    EncodingOption,
    FormatOption,
    HeaderOption,
    NullOption,
    QuoteOption,
    UnitsOption,
    given_files,
    read_options,
)
from qserv.cli.loading import absolute, open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.showing import plain_table, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.formats.source import ReadOptions
    from ingest.service.client import Ingest
    from ingest.service.models import ContributionInfo

WAIT_S = 10.0
"""How long to wait for one contribution before it is looked whether another one is done."""


def command(  # noqa: PLR0913, PLR0917 (options of a command line are parameters)
    name: NameArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE=FILE...]", help="Files, directories, patterns, URLs: a contribution each.", show_default=False
        ),
    ] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Send what is in the files, rather than where they are.")] = False,
    cancel: Annotated[str | None, typer.Option(help="A contribution that is not to be taken.", show_default=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait until rows are taken.")] = False,
    file_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    quote: QuoteOption = '"',
    null: NullOption = None,
    encoding: EncodingOption = "utf-8",
    header: HeaderOption = True,
    ignore_units: UnitsOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send files into a transaction, and tell of what was sent. What is sent twice is taken once."""
    reading = read_options(file_format, delimiter, quote, null, encoding, header=header, ignore_units=ignore_units)
    with open_ingest(load_settings(home=home)) as ingest:
        if cancel is not None:
            ingest.cancel_contribution(name, cancel)
        sent = [
            _send(ingest, name, _Words(table, absolute(word), reading), upload=upload)
            for table, words in given_files(files or ()).items()
            for word in words
        ]
        found = ingest.contributions(name) if not sent or detach else _taken(ingest, name, sent)
    if as_json:
        print_json({"contributions": [one.model_dump(mode="json") for one in found]})
    else:
        _show(found)
    if sent and any(one.state == "failed" for one in found):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Words:
    """What is sent, as it was written."""

    table: str
    place: str
    reading: "ReadOptions"

    @property
    def name(self) -> str:
        """Name of the contribution, which the same files get again."""
        begin = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.table}-{Path(self.place.partition('?')[0]).name}").strip("-._")
        return f"{begin[:100]}-{hashlib.sha256(self.place.encode()).hexdigest()[:8]}"


def _send(ingest: "Ingest", transaction: str, words: _Words, *, upload: bool) -> str:
    """Send files; return the name of the contribution."""
    from ingest.service.models import ContributionRequest  # noqa: PLC0415 (heavy, not needed for --help)

    if upload:
        return ingest.upload(transaction, words.name, words.table, Path(words.place), words.reading).name
    request = ContributionRequest(table=words.table, source=words.place, reading=words.reading)
    return ingest.send(transaction, words.name, request).name


def _taken(ingest: "Ingest", transaction: str, names: "Sequence[str]") -> "list[ContributionInfo]":
    """Return contributions that are done, or have failed."""
    from ingest.service.models import WAITING  # noqa: PLC0415 (heavy, not needed for --help)

    found = {}
    with console.status("taking rows") as status:
        for name in names:
            found[name] = ingest.contribution(transaction, name)
            while found[name].state in WAITING:
                found[name] = ingest.contribution(transaction, name, WAIT_S)
                status.update(
                    f"taking rows: {len(found) - 1} of {len(names)} contributions done, {ingest.load(transaction).rows:,} rows"
                )
    return list(found.values())


def _show(found: "Sequence[ContributionInfo]") -> None:
    shown = plain_table(("contribution", "table", "state", "files", "rows", "set aside"))
    for one in found:
        shown.add_row(one.name, one.table, one.state.value, str(len(one.files)), f"{one.rows:,}", f"{one.rejected:,}")
    show(console, shown, paged=False)
    for one in found:
        for file in one.files:
            if file.error is not None:
                console.print(f"{one.name}: {file.error.message}", soft_wrap=True, markup=False)

"""``qserv loads``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from qserv.cli.loading import open_ingest
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.showing import plain_table, show
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from qserv.metadata.transactions import Contribution, Transaction
    from qserv.settings import Settings

Answer = TypeVar("Answer")

LATEST = 100


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One load: tell of each file of it.", show_default=False)
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; nothing of it will be visible.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest 100 loads, the newest first; with a name, tell from which files the rows of one are."""
    from qserv.metadata.transactions import list_transactions, read_transaction  # noqa: PLC0415 (heavy, not needed for --help)

    settings = load_settings(home=home)
    if cancel:
        if name is None:
            msg = "say which load; `qserv loads` lists them"
            raise typer.BadParameter(msg, param_hint="NAME")
        with open_ingest(settings) as ingest:
            ingest.cancel(name)
            ingest.finished(name)
    if name is None:
        _list(asyncio.run(_asked(settings, partial(list_transactions, limit=LATEST))), as_json=as_json)
    else:
        _tell(*asyncio.run(_asked(settings, partial(read_transaction, name=name))), as_json=as_json)


def _list(loads: "Sequence[Transaction]", *, as_json: bool) -> None:
    if as_json:
        print_json({"loads": [_facts(load) for load in loads]})
        return
    shown = plain_table(("name", "database", "state", "begun", "rows", "set aside", "by"))
    for load in loads:
        begun = f"{load.begun:%Y-%m-%d %H:%M:%S}"
        rows = (f"{load.row_count:,}", f"{load.rejected:,}", f"{load.user_name}@{load.host}")
        state = "withdrawn" if load.withdrawn else load.state.value
        shown.add_row(load.name, load.database, state, begun, *rows)
    show(console, shown, paged=False)


def _tell(load: "Transaction", files: "Sequence[Contribution]", *, as_json: bool) -> None:
    if as_json:
        print_json({**_facts(load), "files": [_file_facts(file) for file in files]})
        return
    for fact, value in _facts(load).items():
        if value is not None:
            console.print(f"{fact:<16}{value}", markup=False, soft_wrap=True)
    shown = plain_table(("number", "table", "file", "rows", "set aside", "bytes", "sha256"))
    for file in files:
        size = "" if file.size_bytes is None else f"{file.size_bytes:,}"
        shown.add_row(
            str(file.contribution_id),
            file.table_name,
            file.source,
            f"{file.row_count:,}",
            f"{file.rejected:,}",
            size,
            file.sha256 or "",
        )
    show(console, shown, paged=False)


def _file_facts(file: "Contribution") -> dict[str, object]:
    return {name: value for name, value in asdict(file).items() if name != "sent"}


def _facts(load: "Transaction") -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(load).items()}


async def _asked(settings: "Settings", question: "Callable[[AsyncConnection], Awaitable[Answer]]") -> Answer:
    """Ask the metadata database of the cluster."""
    from qserv.metadata.engine import connect, make_engine  # noqa: PLC0415 (heavy, not needed for --help)

    cluster, secrets = Cluster.load(settings.home), Secrets.load(settings.home)
    url = cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets)
    engine = make_engine(url, settings.metadata_silence_s)
    try:
        async with connect(engine) as connection:
            return await question(connection)
    finally:
        await engine.dispose()

"""The command ``qserv``. A command is a module with a function ``command`` and one line in `COMMANDS`.

Command modules are imported when they are run, so that ``qserv --help`` is quick and a command may import what it needs.
"""

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Command, Context


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is, and its line in ``qserv --help``."""

    module: str
    help: str


COMMANDS = {
    "demo": LazyCommand("qserv.cli.demo", "Start a cluster, load a real catalogue, ask it three questions."),
    "up": LazyCommand("qserv.cli.up", "Start the embedded cluster of this machine and keep it running."),
    "down": LazyCommand("qserv.cli.down", "Stop the cluster."),
    "status": LazyCommand("qserv.cli.status", "Show the processes of the cluster and whether they answer."),
    "propose": LazyCommand("qserv.cli.propose", "Look at files and write a schema for them."),
    "ingest": LazyCommand("qserv.cli.ingest", "Load files into tables and publish them."),
    "begin": LazyCommand("qserv.cli.begin", "Begin a transaction, into which files are sent."),
    "alias": LazyCommand("qserv.cli.alias", "Let a name such as dr_current mean a database."),
    "append": LazyCommand("qserv.cli.append", "Begin one that adds rows to published tables."),
    "send": LazyCommand("qserv.cli.send", "Send files into a transaction, and tell of them."),
    "commit": LazyCommand("qserv.cli.commit", "Commit a transaction: publish all that was sent."),
    "publish": LazyCommand("qserv.cli.publish", "Show users a table that was withheld from them, or withhold it."),
    "withdraw": LazyCommand("qserv.cli.withdraw", "Take the rows of a committed one away."),
    "index": LazyCommand("qserv.cli.index", "Make or drop an index of a published table, or list them."),
    "column": LazyCommand("qserv.cli.column", "Add a column to a published table, or list its columns."),
    "drop": LazyCommand("qserv.cli.drop", "Delete a table, or a database, from all nodes."),
    "export": LazyCommand("qserv.cli.export", "Write a table, or an answer, as a HATS catalogue for LSDB."),
    "loads": LazyCommand("qserv.cli.loads", "List what was loaded; with a name, from which files."),
    "sql": LazyCommand("qserv.cli.sql", "Ask a query and print the answer; without one, a prompt."),
    "explain": LazyCommand("qserv.cli.explain", "Show how a query would be answered."),
    "queries": LazyCommand("qserv.cli.queries", "List the queries that run now."),
    "submit": LazyCommand("qserv.cli.submit", "Queue a query that runs on its own: a job."),
    "jobs": LazyCommand("qserv.cli.jobs", "List jobs, or tell of one."),
    "result": LazyCommand("qserv.cli.result", "Print or save the result of a job."),
    "cancel": LazyCommand("qserv.cli.cancel", "Stop a query that runs, or a job; --delete forgets the job."),
    "settings": LazyCommand("qserv.cli.settings", "Show the settings in force."),
}


class LazyGroup(TyperGroup):
    """The commands of `COMMANDS`, each imported only to be run."""

    def list_commands(self, ctx: "Context") -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """Return what the list of commands shows of one; running goes through `resolve_command`."""
        del ctx
        lazy = COMMANDS.get(cmd_name)
        return None if lazy is None else _command(cmd_name, lambda: None, lazy.help)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """Import the command that is to be run."""
        name, stub, rest = super().resolve_command(ctx, args)
        if name is None or stub is None:
            return name, stub, rest
        return name, _command(name, importlib.import_module(COMMANDS[name].module).command, None), rest


def _command(name: str, function: "typer.models.CommandFunctionType", text: str | None) -> "Command":
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, help=text)(function)
    return typer.main.get_command(single)


app = typer.Typer(cls=LazyGroup, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def qserv() -> None:
    """A survey archive on HEALPix-sharded PostgreSQL, asked in ADQL over TAP.

    Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 no cluster is running, 4 wrong query, schema or file, 5 a limit of
    the query was reached, 6 a part did not answer (try again), 7 a port or a disk is taken, 130 interrupted.
    """


def main() -> NoReturn:
    """Run the command line; an error of ours is one line, or one JSON document where ``--json`` was given."""
    from qserv.cli.exits import report  # noqa: PLC0415 (the error tree is not needed for --help)
    from qserv.errors import QservError  # noqa: PLC0415

    try:
        app(prog_name="qserv")
    except QservError as error:
        sys.exit(report(error, as_json="--json" in sys.argv))
    sys.exit(0)

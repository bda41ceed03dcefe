"""The prompt of ``qserv sql``: statements that end with a semicolon, and commands that begin with a backslash."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console

from qserv.cli.asking import Dialect
from qserv.cli.completion import NameCompleter
from qserv.cli.reading import ask
from qserv.cli.showing import columns_shown, show, show_rows, tables_shown
from qserv.errors import QservError

if TYPE_CHECKING:
    from czar.service.client import Czar

HELP = r"""A statement ends with ; and may go over several lines. Tab completes, Ctrl-R searches the history.
\d            tables
\d TABLE      columns of a table
\e STATEMENT  how a query would be answered
\timing       show how long each query takes, or not
\pager        long answers through a pager, or not
\q, Ctrl-D    leave; Ctrl-C stops the query that runs"""


def history_path() -> Path:
    """Return where earlier statements are kept: ``$XDG_STATE_HOME/qserv/history`` or ``~/.local/state/qserv/history``."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "qserv" / "history"


def is_complete(text: str) -> bool:
    """Whether Enter sends what is written, rather than begin another line."""
    written = text.strip()
    return not written or written.startswith("\\") or written.endswith(";")


class Prompt:
    """A conversation with a czar."""

    def __init__(self, czar: "Czar", dialect: Dialect, max_rows: int, console: Console) -> None:
        self._czar, self._dialect, self._max_rows, self._console = czar, dialect, max_rows, console
        self._timing, self._paged = True, True

    def run(self) -> None:
        """Answer what is typed until the user leaves."""
        os.environ.setdefault("LESS", "-SRX")  # wide rows are cut rather than wrapped, and stay in view
        session = self._session()
        self._console.print(r"\? for help", highlight=False)
        while True:
            try:
                text = session.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            try:
                if not self.handle(text.strip()):
                    return
            except KeyboardInterrupt:
                self._console.print("stopped")
            except QservError as error:
                self._console.print(f"{error.code}: {error}", style="red", markup=False, soft_wrap=True)

    def handle(self, text: str) -> bool:
        """Do what one input asks for; return False if it is to leave.

        Raises
        ------
        QservError
            It cannot be done.
        KeyboardInterrupt
            Ctrl-C; the query is stopped.
        """
        word, _, rest = text.partition(" ")
        rest = rest.strip().rstrip(";")
        match word:
            case "":
                pass
            case "\\q":
                return False
            case "\\?":
                self._console.print(HELP, markup=False)
            case "\\d" if rest:
                show(self._console, columns_shown(self._czar.tables(), rest), paged=self._paged)
            case "\\d":
                show(self._console, tables_shown(self._czar.tables()), paged=self._paged)
            case "\\e":
                plan = self._czar.explain(rest, dialect=self._dialect.value)
                self._console.print(plan.text, markup=False, soft_wrap=True)
            case "\\timing":
                self._timing = not self._timing
                self._console.print(f"timing is {_on(self._timing)}")
            case "\\pager":
                self._paged = not self._paged
                self._console.print(f"the pager is {_on(self._paged)}")
            case _ if word.startswith("\\"):
                self._console.print(rf"{word} is not known; \? lists all", markup=False)
            case _:
                self._ask(text.rstrip(";"))
        return True

    def _ask(self, statement: str) -> None:
        answered = ask(self._czar, statement, self._dialect, self._max_rows + 1, self._console)
        table = answered.table.slice(0, self._max_rows)
        show_rows(self._console, table, paged=self._paged)
        more = answered.table.num_rows > self._max_rows
        count = f"first {table.num_rows:,} rows (--max-rows shows more)" if more else f"{table.num_rows:,} rows"
        self._console.print(f"\n{count}" + (f", {answered.elapsed_s:.3f} s" if self._timing else ""))

    def _session(self) -> "PromptSession[str]":
        path = history_path()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            if is_complete(event.current_buffer.text):
                event.current_buffer.validate_and_handle()
            else:
                event.current_buffer.insert_text("\n")

        return PromptSession(
            "qserv> ",
            multiline=True,
            prompt_continuation="    -> ",
            history=FileHistory(str(path)),
            completer=NameCompleter(self._czar.tables()),
            complete_while_typing=False,
            key_bindings=keys,
        )


def _on(value: bool) -> str:
    return "on" if value else "off"

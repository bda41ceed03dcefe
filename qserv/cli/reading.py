"""Asks a query and waits for its answer: shows how far it is, and stops it on the nodes at Ctrl-C."""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qserv.cli.asking import Dialect
from qserv.errors import QservError

if TYPE_CHECKING:
    import pyarrow as pa

    from czar.service.client import Czar

QUIET_S = 1.0
"""How long a query runs before something is shown: most have ended by then."""

LOOK_S = 0.3
"""How often it is asked how far a query is."""

STOP_S = 5.0
"""How long a stopped query is waited for."""


@dataclass(frozen=True)
class Answered:
    """An answer, and the seconds it took."""

    table: "pa.Table"
    elapsed_s: float


def ask(czar: "Czar", text: str, dialect: Dialect, max_rows: int, console: Console | None) -> Answered:
    """Return the answer of a query.

    Parameters
    ----------
    console
        Where progress is shown; None shows nothing.

    Raises
    ------
    QservError
        Why there is no answer.
    KeyboardInterrupt
        Ctrl-C; the query is stopped on the nodes by then.
    """
    query_id = uuid4()
    started_s = time.monotonic()

    def read() -> "pa.Table":
        with czar.answer(text, dialect=dialect.value, max_rows=max_rows, query_id=query_id) as rows:
            return rows.read_all()

    with ThreadPoolExecutor(1, thread_name_prefix="answer") as threads:
        answer = threads.submit(read)
        try:
            if not _ended(answer, QUIET_S) and console is not None and console.is_terminal:
                _show_progress(czar, query_id, answer, console)
            return Answered(answer.result(), time.monotonic() - started_s)
        except KeyboardInterrupt:
            _stop(czar, query_id, answer)
            raise


def _ended(answer: "Future[pa.Table]", within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        answer.exception(within_s)
    return answer.done()


def _show_progress(czar: "Czar", query_id: UUID, answer: "Future[pa.Table]", console: Console) -> None:
    columns = (TextColumn("chunks"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        while not _ended(answer, LOOK_S):
            with contextlib.suppress(QservError):  # the answer itself tells what is wrong
                found = czar.query_info(query_id)
                progress.update(task, completed=found.chunks_done or 0, total=found.chunks_total)


def _stop(czar: "Czar", query_id: UUID, answer: "Future[pa.Table]") -> None:
    """Stop a query; one that is only on its way to the czar is not known there yet."""
    deadline_s = time.monotonic() + STOP_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(QservError):
            czar.cancel_query(query_id)
        if _ended(answer, LOOK_S):
            return

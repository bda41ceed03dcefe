"""The table of results."""

import os
from collections.abc import Sequence

from measurement import Result, Sample
from rich.console import Console
from rich.table import Table

WIDTH = 190
"""Columns of the table where it is not printed on a terminal."""


def show(results: Sequence[Result], title: str) -> None:
    """Print all results as one table."""
    plain = Console()
    console = plain if plain.is_terminal else Console(width=WIDTH)
    table = Table(title=title, caption="median (quartiles) over n; ratio is the archive's median by plain PostgreSQL's")
    for heading in ("what", "archive", "plain PostgreSQL", "ratio", "n", "goal", "", "how"):
        table.add_column(heading, justify="left" if heading in {"what", "goal", "how"} else "right")
    for one in results:
        table.add_row(*cells_of(one), {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[one.reached], one.note)
    console.print(table)


def cells_of(one: Result) -> list[str]:
    """Return subject, archive, plain PostgreSQL, ratio, number of values and goal of a result, as text."""
    return [
        one.subject,
        shown(one.ours, one.unit),
        shown(one.plain, one.unit) if one.plain else "",
        f"{one.ratio:.2f}" if one.ratio is not None else "",
        str(len(one.ours.values)),
        one.goal,
    ]


def load_of_machine() -> str:
    """Return how busy the machine is with other things too."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def shown(sample: Sample, unit: str) -> str:
    """Return the median, with the quartiles where there are several values."""
    if len(sample.values) == 1:
        return f"{_number(sample.median)} {unit}"
    low, high = sample.quartiles
    return f"{_number(sample.median)} {unit} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.3f}"

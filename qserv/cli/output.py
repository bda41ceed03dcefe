"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(highlight=False)
"""Where tables go; rich leaves colours out where the output is no terminal."""


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on one line, at once: a program may wait for it."""
    print(json.dumps(document), flush=True)  # noqa: T201 (a CLI's answer)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table without lines around it."""
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table)

"""Answers and tables as text for a terminal."""

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from qserv.errors import UnknownNameError

if TYPE_CHECKING:
    import pyarrow as pa

    from czar.service.models import TableInfo

FRAME_LINES = 4
"""Lines of a terminal that a table needs beside its rows: head, an empty line, the count, and the next prompt."""

MAX_WIDTH = 100_000
"""Characters of a line at the most."""


def show_rows(console: Console, table: "pa.Table", *, paged: bool) -> None:
    """Print the rows of an answer; through a pager if they are more than the terminal shows at once."""
    shown = plain_table(table.column_names)
    for row in with_texts(table, _as_python).to_pylist():
        shown.add_row(*(Text("" if value is None else str(value)) for value in row.values()))  # not Rich's markup
    show(console, shown, paged=paged)


def with_texts(table: "pa.Table", element_text: "Callable[[pa.Array], pa.Array]") -> "pa.Table":
    """Return rows with texts for arrays, as `schema.array_text` makes them."""
    import pyarrow as pa  # noqa: PLC0415 (heavy, not needed for --help)

    from schema.array_text import array_text  # noqa: PLC0415 (as above)

    columns = [
        array_text(column.combine_chunks(), element_text) if pa.types.is_list(column.type) else column for column in table.columns
    ]
    return pa.table(columns, table.column_names)


def _as_python(values: "pa.Array") -> "pa.Array":
    """Return values as texts of Python's, as those beside them are shown."""
    import pyarrow as pa  # noqa: PLC0415 (heavy, not needed for --help)

    return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.large_string())


def show(console: Console, shown: Table, *, paged: bool) -> None:
    """Print a table, no cell shortened; a pager lets it be moved sideways too."""
    options = console.options.update(max_width=MAX_WIDTH)
    width = Measurement.get(console, options, shown).maximum
    too_large = shown.row_count + FRAME_LINES > console.height or width > console.width
    with console.pager() if paged and console.is_terminal and too_large else nullcontext():
        # Rich never prints a table wider than the terminal: it is laid out apart, as wide as it needs to be.
        lines = io.StringIO()
        Console(file=lines, width=width).print(shown)
        text = "\n".join(line.rstrip() for line in lines.getvalue().splitlines())
        console.print(text, markup=False, soft_wrap=True)


def plain_table(columns: Iterable[str]) -> Table:
    """Return an empty table without lines around it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def tables_shown(tables: Sequence["TableInfo"]) -> Table:
    """Return the list of tables."""
    shown = plain_table(("table", "role", "rows", "description"))
    for table in tables:
        shown.add_row(
            f"{table.database}.{table.name}", table.role, "" if table.rows is None else f"{table.rows:,}", table.description
        )
    return shown


def columns_shown(tables: Sequence["TableInfo"], name: str) -> Table:
    """Return the columns of the table of a name, with or without its database.

    Raises
    ------
    UnknownNameError
        No table, or more than one, has the name.
    """
    wanted = name.lower()
    found = [table for table in tables if wanted in {table.name.lower(), f"{table.database}.{table.name}".lower()}]
    if len(found) != 1:
        many = " or ".join(f"{table.database}.{table.name}" for table in found)
        msg = f"table {name} is ambiguous: write {many}" if found else rf"unknown table {name}; \d lists all tables"
        raise UnknownNameError(msg)
    shown = plain_table(("column", "type", "unit", "ucd", "description"))
    for column in found[0].columns:
        shown.add_row(column.name, column.datatype, column.unit or "", column.ucd or "", column.description)
    return shown

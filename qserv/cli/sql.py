"""``qserv sql``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qserv.cli.asking import Dialect, DialectOption, open_czar, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.errors import QueryValueError

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 1000
"""Rows shown unless told otherwise: more than anyone reads, few enough not to flood a terminal."""


def command(
    statement: Annotated[
        str | None,
        typer.Argument(help="The query; - reads it from standard input; without one, a prompt asks.", show_default=False),
    ] = None,
    dialect: DialectOption = Dialect.NATIVE,
    max_rows: Annotated[int, typer.Option(min=0, help="Rows to show at the most.")] = SHOWN_ROWS,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running cluster a query and print the answer. Ctrl-C stops it on the nodes."""
    from qserv.cli.reading import ask  # noqa: PLC0415 (heavy, not needed for --help)

    with open_czar(load_settings(home=home)) as czar:
        if statement is None:
            if as_json:
                msg = "--json needs a query; - reads it from standard input"
                raise QueryValueError(msg)
            from qserv.cli.prompt import Prompt  # noqa: PLC0415 (needed by people alone)

            Prompt(czar, dialect, max_rows, console).run()
            return
        answered = ask(czar, statement_text(statement), dialect, max_rows + 1, None if as_json else console)
    show_answer(answered.table, max_rows, answered.elapsed_s, as_json=as_json)


def show_answer(table: "pa.Table", max_rows: int, elapsed_s: float | None = None, *, as_json: bool) -> None:
    """Print up to ``max_rows`` rows of a table, and whether it has more."""
    from qserv.cli.showing import show_rows  # noqa: PLC0415 (heavy, not needed for --help)

    more = table.num_rows > max_rows
    table = table.slice(0, max_rows)
    if as_json:
        rows = [list(row.values()) for row in table.to_pylist()]
        print_json({"columns": table.column_names, "rows": [[_plain(v) for v in row] for row in rows], "more": more})
        return
    show_rows(console, table, paged=False)
    count = f"first {table.num_rows:,} rows (--max-rows shows more)" if more else f"{table.num_rows:,} rows"
    console.print(f"\n{count}" + ("" if elapsed_s is None else f", {elapsed_s:.3f} s"))


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a column holds)
    """Return a value as JSON has it; what JSON has not, NaN and infinities included, as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value if isinstance(value, float) and abs(value) < float("inf") else str(value)

"""``qserv sql``."""

import asyncio
import time
from typing import Annotated, Any

import pyarrow as pa
import typer

from qserv.cli.asking import Dialect, DialectOption, StatementArgument, open_session, read_statement, statement_text
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json, print_table
from qserv.settings import Settings

SHOWN_ROWS = 1000
"""Rows shown unless told otherwise: more than anyone reads, few enough not to flood a terminal."""


def command(
    statement: StatementArgument,
    dialect: DialectOption = Dialect.NATIVE,
    max_rows: Annotated[int, typer.Option(min=0, help="Rows to show at the most.")] = SHOWN_ROWS,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running cluster a query and print the answer."""
    table, elapsed_s = asyncio.run(_asked(load_settings(home=home), statement_text(statement), dialect, max_rows + 1))
    more = table.num_rows > max_rows
    table = table.slice(0, max_rows)
    if as_json:
        rows = [list(row.values()) for row in table.to_pylist()]
        print_json({"columns": table.column_names, "rows": [[_plain(v) for v in row] for row in rows], "more": more})
        return
    print_table(table.column_names, ([_text(value) for value in row.values()] for row in table.to_pylist()))
    count = f"first {table.num_rows:,} rows (--max-rows shows more)" if more else f"{table.num_rows:,} rows"
    console.print(f"\n{count}, {elapsed_s:.3f} s")


async def _asked(settings: Settings, text: str, dialect: Dialect, max_rows: int) -> tuple[pa.Table, float]:
    """Return the answer and the seconds that it took, the opening of the session not counted."""
    async with open_session(settings) as session:
        await session.catalogue()
        started = time.perf_counter()
        answer = await session.query(
            read_statement(text, dialect),
            dialect=dialect.value,
            user="cli",
            max_rows=max_rows,
            text=text,
        )
        table = pa.Table.from_batches([batch async for batch in answer.batches()], answer.schema)
        return table, time.perf_counter() - started


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a column holds)
    """Return a value as JSON has it; what JSON has not, NaN and infinities included, as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and abs(value) < float("inf") else str(value)

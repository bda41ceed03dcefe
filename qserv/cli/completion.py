"""Completion of names at the prompt."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

if TYPE_CHECKING:
    from czar.service.models import TableInfo

KEYWORDS = (
    *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "OFFSET", "JOIN", "LEFT JOIN", "ON", "USING", "AND"),
    *("OR", "NOT", "IN", "BETWEEN", "IS NULL", "IS NOT NULL", "LIKE", "AS", "DISTINCT", "CASE", "WHEN", "THEN", "ELSE", "END"),
    *("COUNT(*)", "SUM(", "AVG(", "MIN(", "MAX(", "STDDEV(", "POINT(", "CIRCLE(", "CONTAINS(", "DISTANCE("),
)

WORD = re.compile(r"[\w.]+$")
"""What is being written: a name, perhaps behind its table's or database's."""

TABLE = re.compile(r"\b(?:from|join|,)\s+([\w.]+)(?:\s+(?:as\s+)?(\w+))?", re.IGNORECASE)
"""A table that a query names, and its alias."""


class NameCompleter(Completer):
    """Completes names of tables, columns and keywords."""

    def __init__(self, tables: Sequence["TableInfo"]) -> None:
        self._tables = tables

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what may stand at the cursor."""
        del complete_event
        found = WORD.search(document.text_before_cursor)
        word = found[0] if found else ""
        for candidate in candidates(word, document.text_before_cursor, document.text, self._tables):
            yield Completion(candidate, -len(word))


def candidates(word: str, before: str, text: str, tables: Sequence["TableInfo"]) -> list[str]:
    """Return what a word may become, the likeliest first.

    Parameters
    ----------
    word
        What is written so far.
    before, text
        What stands before the cursor, and the whole text: columns of the tables that it names come first.
    """
    by_name = {name: table for table in tables for name in (table.name.lower(), f"{table.database}.{table.name}".lower())}
    named = {
        alias: by_name[table.lower()]
        for table, alias in TABLE.findall(text)
        if table.lower() in by_name
        for alias in {table.lower(), table.lower().rpartition(".")[2], alias.lower()} - {""}
    }
    full = [f"{table.database}.{table.name}" for table in tables]
    if before.lstrip().startswith("\\d"):
        return _starting(word, full)
    owner, dot, _ = word.rpartition(".")
    if dot and owner.lower() in named:
        return _starting(word, [f"{owner}.{column.name}" for column in named[owner.lower()].columns])
    if re.search(r"\b(?:from|join)\s+[\w.]*$", before, re.IGNORECASE):
        return _starting(word, [*full, *(table.name for table in tables)])
    if not word:
        return []
    columns = [column.name for table in (named.values() or tables) for column in table.columns]
    return _starting(word, [*dict.fromkeys(columns), *KEYWORDS, *full])


def _starting(word: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower().startswith(word.lower())]

"""The tables of a catalogue as FROM names them: kept with it, as describing 66 columns takes a tenth of planning a look-up."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

from czar.analyse.query import Output, Source
from czar.analyse.scope import Relation
from czar.catalogue import Catalogue, TableEntry

KEPT: Final = 256
"""Tables under their aliases that are kept of a catalogue, at the most: one of 66 columns takes 25 kB."""

_Tables = Callable[[TableEntry, str, str, str], tuple[Source, Relation]]

_KEPT: Final[WeakKeyDictionary[Catalogue, _Tables]] = WeakKeyDictionary()


def table_relation(catalogue: Catalogue, entry: TableEntry, alias: str, written: str, database: str) -> tuple[Source, Relation]:
    """Return a table of a catalogue under its alias in the tree, and under the names that the user calls it and its database by.

    Queries share what is returned, one query never has an alias twice.
    """
    tables = _KEPT.get(catalogue)
    if tables is None:
        tables = _KEPT[catalogue] = lru_cache(KEPT)(_made)
    return tables(entry, alias, written, database)


def _made(entry: TableEntry, alias: str, written: str, database: str) -> tuple[Source, Relation]:
    source = Source(alias, entry)
    outputs = tuple(Output(column.name, source, column.name) for column in entry.table.columns)
    hidden = () if entry.in_metadata else tuple(column.name for column in entry.table.carried)
    return source, Relation(alias, written, outputs, (entry.database.lower(), database.lower()), hidden)

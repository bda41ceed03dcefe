"""Which column of a file gives which column of a table."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.derive import DERIVATIONS, Derivation
from ingest.formats.source import SourceFile
from ingest.units import unit_factor
from qserv.errors import BadFileError, SchemaError
from schema.model import Column, ColumnType, Table

NEAREST_NAMES = 3
"""Names proposed for a missing one."""


@dataclass(frozen=True)
class Match:
    """Where a column comes from: file columns ``sources``, given to ``derivation``, or the one source, times ``factor``.

    An optional column that the file does not have has no source: its default stands for it.
    """

    column: Column
    sources: tuple[str, ...]
    derivation: Derivation | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Matching:
    """A table's columns, in its order, and the file's columns that no one asked for."""

    matches: tuple[Match, ...]
    ignored: tuple[str, ...]
    of_director: tuple[Match, ...] = ()
    """Longitude and latitude (deg) of the director's row, where a dependent's file carries them."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns of the file to be read, each once."""
        return tuple(dict.fromkeys(source for match in (*self.matches, *self.of_director) for source in match.sources))


def match_columns(table: Table, file: SourceFile, *, ignore_units: bool = False) -> Matching:
    """Find each column of a table in a file, by its name, upper and lower case alike where that is unambiguous.

    A derived column is computed unless the file carries it; an optional one need not be there.

    Raises
    ------
    BadFileError
        A column is missing; the message names the file's nearest ones. Or its unit cannot become that of the table.
    SchemaError
        A derived column names a function that does not exist.
    """
    units = {} if ignore_units else file.units
    carried = [table.by_name.get(name, Column(name, ColumnType.DOUBLE, unit="deg")) for name in table.position_of_director]
    found, of_director = (tuple(_match(column, file, units) for column in columns) for columns in (table.columns, carried))
    used = {source for match in (*found, *of_director) for source in match.sources}
    return Matching(found, tuple(name for name in file.columns if name not in used), of_director)


def _match(column: Column, file: SourceFile, units: Mapping[str, str]) -> Match:
    found = _find(column.name, file)
    if found is not None:
        return Match(column, (found,), factor=unit_factor(file.path, column, units.get(found)))
    if column.optional:
        return Match(column, ())
    if column.derived_by is None:
        raise _missing(column.name, file, f"column {column.name!r} is missing")
    derivation = DERIVATIONS.get(column.derived_by)
    if derivation is None:
        msg = f"column {column.name!r} is derived by {column.derived_by!r}, which is not one of {', '.join(sorted(DERIVATIONS))}"
        raise SchemaError(msg)
    sources = []
    for name in column.derived_from:
        source = _find(name, file)
        if source is None:
            raise _missing(name, file, f"column {name!r} is missing, from which {column.name!r} is derived")
        sources.append(source)
    return Match(column, tuple(sources), derivation)


def _find(name: str, file: SourceFile) -> str | None:
    if name in file.columns:
        return name
    alike = [column for column in file.columns if column.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _missing(name: str, file: SourceFile, what: str) -> BadFileError:
    alike = difflib.get_close_matches(name.casefold(), {column.casefold() for column in file.columns}, NEAREST_NAMES)
    near = [column for folded in alike for column in file.columns if column.casefold() == folded]
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"it has {', '.join(map(repr, file.columns))}"
    return BadFileError(f"{file.path}: {what}; {hint}")

"""What is to be loaded: tables of a database and their files, opened and matched, in the order in which they can be loaded."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ingest.files import open_file
from ingest.formats.source import DEFAULT, ReadOptions, SourceFile
from ingest.hats import places_of
from ingest.locations import Location
from ingest.matching import Matching, match_columns
from qserv.errors import IngestError, SchemaError
from schema.model import Database, Table, TableRole

LOAD_ORDER = (TableRole.REPLICATED, TableRole.DIRECTOR, TableRole.DEPENDENT, TableRole.REF_MATCH)
"""Tables that hang on directors come after these, whose index says where they go."""


@dataclass(frozen=True)
class Input:
    """A table and its files, each with the columns that are read of it."""

    table: Table
    files: tuple[tuple[SourceFile, Matching], ...]

    @property
    def row_count(self) -> int | None:
        """Rows of all files; None where a file does not tell."""
        counts = [file.row_count for file, _ in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Columns of the files that the table does not have, but for those of places in a HATS catalogue."""
        names = dict.fromkeys(name for _, matching in self.files for name in matching.ignored)
        places = frozenset[str]().union(*(places_of(file.columns) for file, _ in self.files))
        return tuple(name for name in names if name not in places)


def open_inputs(database: Database, files: Mapping[str, Sequence[Location]], reading: ReadOptions = DEFAULT) -> tuple[Input, ...]:
    """Open the files of each table and find the table's columns in them, before anything else is done.

    Parameters
    ----------
    files
        Files by table name.
    reading
        How they are read.

    Raises
    ------
    SchemaError
        There is no such table.
    IngestError
        There is no file for it.
    BadFileError
        A file is not readable, or a column is missing in it.
    """
    for name, paths in files.items():
        check_table(database, name)
        if not paths:
            msg = f"table {name!r} has no file to load"
            raise IngestError(msg)
    tables = sorted(
        (database.by_name[name] for name in with_histories(database, files)), key=lambda table: LOAD_ORDER.index(table.role)
    )
    return tuple(Input(table, tuple(open_input(table, path, reading) for path in files.get(table.name, ()))) for table in tables)


def with_histories(database: Database, names: Collection[str]) -> list[str]:
    """Return tables, and those of the former versions of their rows."""
    histories = (table.versions.history for name in names if (table := database.by_name[name]).versions is not None)
    return list(dict.fromkeys([*names, *histories]))


def check_table(database: Database, name: str) -> None:
    """Refuse a table that a database does not have.

    Raises
    ------
    SchemaError
        It has none of the name.
    """
    if name not in database.by_name:
        near = difflib.get_close_matches(name, database.by_name, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(database.by_name)}"
        msg = f"database {database.name!r} has no table {name!r}; {hint}"
        raise SchemaError(msg)


def open_input(table: Table, path: Location, reading: ReadOptions) -> tuple[SourceFile, Matching]:
    """Open a file of a table, and find the table's columns in it.

    Raises
    ------
    BadFileError
        It is not readable, or a column is missing in it.
    """
    file = open_file(path, reading, [column.name for column in table.columns])
    return file, match_columns(table, file, ignore_units=reading.ignore_units)

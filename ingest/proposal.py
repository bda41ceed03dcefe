"""A first schema for files of unknown content: types, keys, positions, roles, UCDs, from their headers and first rows.

What is proposed loads these rows; what their columns mean is guessed by names (`ingest.guesses`), for a person to correct.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from astropy.io.votable.ucd import check_ucd
from pyarrow import types

from ingest.convert import ConversionError, TypeMismatchError, convert
from ingest.files import open_file
from ingest.formats.source import DEFAULT, ReadOptions, SourceFile
from ingest.guesses import guessed_ucd, guessed_unit, key_rank, position_names
from ingest.hats import places_of
from ingest.locations import Location
from ingest.units import as_vounit, unit_factor
from qserv.errors import BadFileError, IngestError
from schema.check import column_name_problem
from schema.model import Column, ColumnType, TableRole

SAMPLE_ROWS: Final = 100_000
"""Rows of each table that are looked at, by default."""

SAMPLE_BYTES: Final = 1 << 28
"""Rows that take more are not looked at, whatever their number."""

MAIN: Final = ";meta.main"

KEYS: Final = frozenset({ColumnType.SHORT, ColumnType.INT, ColumnType.LONG})

NUMBERS: Final = KEYS | {ColumnType.FLOAT, ColumnType.DOUBLE}

OF_TEXT: Final = (ColumnType.LONG, ColumnType.DOUBLE, ColumnType.TIMESTAMP, ColumnType.BOOLEAN)
"""Types that a column of text may be, where a file has nothing but text, in the order in which they are tried."""

FEW_ROWS: Final = 10_000
MANY_TIMES: Final = 10
"""A table of so few rows to which so many times as many of another one refer is better whole on every node."""

OF_ARROW: Final = (
    (types.is_boolean, ColumnType.BOOLEAN),
    (lambda kind: kind in {pa.int8(), pa.uint8(), pa.int16()}, ColumnType.SHORT),
    (lambda kind: kind in {pa.uint16(), pa.int32()}, ColumnType.INT),
    (types.is_integer, ColumnType.LONG),
    (lambda kind: kind in {pa.float16(), pa.float32()}, ColumnType.FLOAT),
    (lambda kind: types.is_floating(kind) or types.is_decimal(kind), ColumnType.DOUBLE),
    (lambda kind: types.is_timestamp(kind) or types.is_date(kind), ColumnType.TIMESTAMP),
    (lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind), ColumnType.TEXT),
    (lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind), ColumnType.BINARY),
    (types.is_null, ColumnType.TEXT),
)
"""Types of columns, by those of Arrow; the first that fits."""


@dataclass(frozen=True)
class Proposed:
    """A column: as it would be declared, and under which name the files have it."""

    column: Column
    source: str
    note: str = ""
    """What a person should look at; empty if there is nothing."""


@dataclass(frozen=True)
class ProposedTable:
    """A table, and what was seen of it."""

    name: str
    role: TableRole
    columns: tuple[Proposed, ...]
    row_count: int | None
    """Of all files; None where they do not tell."""
    sampled: int
    """Rows that were looked at."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why columns of the files cannot be loaded, by their names there."""
    key: str | None = None
    """The column whose integers are unique."""
    position: tuple[str, str] | None = None
    """The columns of right ascension and declination."""
    directors: tuple[tuple[str, str], ...] = ()
    """Of a dependent, and of a ref-match table: director tables, and the columns here that hold their keys."""
    notes: tuple[str, ...] = ()
    """What a person should look at."""

    @property
    def partitioned(self) -> bool:
        """Whether its rows are spread over the nodes."""
        return self.role is not TableRole.REPLICATED


def proposed_tables(
    files: Mapping[str, Sequence[Location]], reading: ReadOptions = DEFAULT, *, rows: int = SAMPLE_ROWS
) -> tuple[ProposedTable, ...]:
    """Return a proposal for the tables of a database.

    Parameters
    ----------
    files
        Files by table.
    reading
        How they are read; CSV must have a header.
    rows
        Of each table that are looked at; more if a batch of the file has more.

    Raises
    ------
    BadFileError
        A file is not readable, or has other columns than the first one.
    """
    return _related([_alone(name, [open_file(each, reading) for each in found], rows) for name, found in files.items()])


def _alone(name: str, files: Sequence[SourceFile], rows: int) -> ProposedTable:
    """Look at the files of one table."""
    first = files[0]
    for other in files[1:]:
        lacking = [column for column in first.columns if column not in other.columns]
        if lacking:
            msg = f"{other.path} has no column {lacking[0]!r}, which {first.path} has; load them as two tables, or leave one out"
            raise BadFileError(msg)
    sample = _sample(files, rows)
    plain = bool(sample.columns) and all(types.is_string(each) or types.is_null(each) for each in sample.schema.types)
    columns: list[Proposed] = []
    left_out = dict.fromkeys(places_of(first.columns), "it tells where in a HATS catalogue the row lies, which is computed anew")
    for source in first.columns:
        if source in left_out:
            continue
        values = sample.column(source).combine_chunks()
        datatype = _datatype(values, plain=plain)
        if datatype is None:
            left_out[source] = f"it is of type {values.type}, for which a table has no type"
            continue
        columns.append(_column(source, datatype, first, {each.column.name.lower() for each in columns}))
    counts = [file.row_count for file in files]
    known = None if None in counts else sum(count or 0 for count in counts)
    table = ProposedTable(name, TableRole.REPLICATED, tuple(columns), known, sample.num_rows, left_out)
    return _with_position(_with_key(table, sample), sample, first)


def _sample(files: Sequence[SourceFile], rows: int) -> pa.Table:
    """Return the first rows of some files."""
    batches: list[pa.RecordBatch] = []
    seen = size_bytes = 0
    for batch in (batch for file in files for batch in file.batches(files[0].columns)):
        batches.append(batch)
        seen, size_bytes = seen + batch.num_rows, size_bytes + batch.nbytes
        if seen >= rows or size_bytes >= SAMPLE_BYTES:
            break
    if not batches:
        return pa.table({name: pa.nulls(0) for name in files[0].columns})
    # Files may have one column in several types.
    return pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches], promote_options="permissive")


def _datatype(values: pa.Array, *, plain: bool) -> ColumnType | None:
    """Return the type of a column, None if there is none; ``plain`` says that the files know no types."""
    kind = values.type.value_type if types.is_dictionary(values.type) else values.type
    if plain and types.is_string(kind):
        return _datatype_of_text(values)
    return next((datatype for is_of, datatype in OF_ARROW if is_of(kind)), None)


def _datatype_of_text(values: pa.Array) -> ColumnType:
    given = values.drop_null()
    if not len(given) or pc.any(pc.match_substring_regex(given, r"^[+-]?0[0-9]")).as_py():
        return ColumnType.TEXT  # 007 is not the number 7
    for datatype in OF_TEXT:
        try:
            convert(given, Column("", datatype))
        except (ConversionError, TypeMismatchError):
            continue
        return datatype
    return ColumnType.TEXT


def _column(source: str, datatype: ColumnType, file: SourceFile, taken: set[str]) -> Proposed:
    """Return a column with what the file, or its name, says of its meaning."""
    name, notes = source, []
    if column_name_problem(source) or source.lower() in taken:
        name = _fit(source, taken)
        notes.append(f"called {source!r} in the file")
    written = file.units.get(source, "").strip()
    unit = as_vounit(written) if written else None
    if written and unit is None:
        notes.append(f"the file's unit {written!r} is none")
    stem, guess = guessed_unit(name)
    if not written and guess and datatype in NUMBERS:
        unit = guess
        notes.append("the unit is guessed from the name")
    told = file.ucds.get(source)
    if told and not check_ucd(told, check_controlled_vocabulary=True):
        notes.append(f"the file's UCD {told!r} is none")
        told = None
    ucd = told or guessed_ucd(name) or guessed_ucd(stem)
    if ucd and not told:
        notes.append("the UCD is guessed from the name")
    column = Column(
        name, datatype, file.descriptions.get(source, ""), unit=unit, ucd=ucd.removesuffix(MAIN).replace(MAIN, "") if ucd else None
    )
    return Proposed(column, source, "; ".join(notes))


def _fit(name: str, taken: set[str]) -> str:
    """Return a name that a column may have, made from one that it may not."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).strip("_")[:50]
    made = plain if plain and not column_name_problem(plain) else f"column_{plain}".rstrip("_")
    numbered = (f"{made}_{number}" for number in itertools.count(2))
    return made if made.lower() not in taken else next(each for each in numbered if each.lower() not in taken)


def _with_key(table: ProposedTable, sample: pa.Table) -> ProposedTable:
    """Find the column whose integers are all different."""
    ranked = sorted(
        (each for each in table.columns if each.column.datatype in KEYS),
        key=lambda each: key_rank(each.column.name, table.name, table.columns.index(each)),
    )
    for each in ranked:
        values = sample.column(each.source)
        if len(values) and not values.null_count and pc.count_distinct(values).as_py() == len(values):
            main = replace(each.column, nullable=False, ucd=f"meta.id{MAIN}", principal=True)
            return replace(_with_column(table, each, main), key=main.name)
    return table


def _with_position(table: ProposedTable, sample: pa.Table, file: SourceFile) -> ProposedTable:
    """Find right ascension and declination, whose values can be such."""
    by_name = {each.column.name: each for each in table.columns}
    for names in position_names(list(by_name)):
        pair = [by_name[name] for name in names]
        if not all(map(_is_number, pair)):
            continue
        in_degrees = [replace(each.column, datatype=ColumnType.DOUBLE, unit="deg", principal=True) for each in pair]
        try:
            factors = [
                unit_factor(file.path, column, file.units.get(each.source)) for column, each in zip(in_degrees, pair, strict=True)
            ]
        except IngestError:
            continue
        if not all(
            _is_within(sample.column(each.source), each, factor, limits)
            for each, factor, limits in zip(pair, factors, ((-180, 360), (-90, 90)), strict=True)
        ):
            continue
        for each, column, ucd in zip(pair, in_degrees, ("pos.eq.ra", "pos.eq.dec"), strict=True):
            table = _with_column(table, each, replace(column, ucd=f"{ucd}{MAIN}"))
        says_unit = all(each.source in file.units for each in pair)
        notes = () if says_unit else (f"{names[0]} and {names[1]} are taken for degrees: the files do not say their unit",)
        return replace(table, position=names, notes=(*table.notes, *notes))
    return table


def _is_number(each: Proposed) -> bool:
    return each.column.datatype in NUMBERS


def _is_within(values: pa.ChunkedArray, each: Proposed, factor: float, limits: tuple[float, float]) -> bool:
    """Whether values can be an angle, NULL and NaN left aside."""
    numbers = convert(values.combine_chunks(), Column(each.column.name, ColumnType.DOUBLE)).drop_null()
    if not len(numbers):
        return True
    found = pc.min_max(pc.multiply(numbers, factor)).as_py()
    return bool(limits[0] <= found["min"] and found["max"] <= limits[1])


def _with_column(table: ProposedTable, old: Proposed, column: Column) -> ProposedTable:
    columns = tuple(replace(old, column=column) if each is old else each for each in table.columns)
    return replace(table, columns=columns)


def _related(tables: Sequence[ProposedTable]) -> tuple[ProposedTable, ...]:
    """Give tables their roles: who has a position and a key is a director, who holds keys of directors hangs on them."""
    could_be = {table.name: table for table in tables if table.position and table.key and not _is_list(table, tables)}
    found = [_with_role(table, list(_directors_of(table, could_be)), is_list=table.name not in could_be) for table in tables]
    directors = {table.name: table.key for table in found if table.role is TableRole.DIRECTOR}
    return tuple(
        made if all(name in directors for name, _ in made.directors) else _with_role(table, [])
        for table, made in zip(tables, found, strict=True)
    )


def _is_list(table: ProposedTable, tables: Sequence[ProposedTable]) -> bool:
    """Whether a table has few rows, such as visits, to which many rows of others refer."""
    few = table.row_count is not None and table.row_count <= FEW_ROWS
    return few and any(
        other is not table
        and other.key != each.column.name
        and each.column.name == table.key
        and (other.row_count or 0) >= MANY_TIMES * (table.row_count or 0)
        for other in tables
        for each in other.columns
    )


def _directors_of(table: ProposedTable, could_be: Mapping[str, ProposedTable]) -> Iterator[tuple[str, str]]:
    """Yield other tables whose key a column of this one has the name of, and that column; of several the one called most alike."""
    for each in table.columns:
        is_own = each.column.name == table.key and table.position is not None
        if each.column.datatype not in KEYS or is_own:
            continue
        name = each.column.name
        named = [other for other, found in could_be.items() if other != table.name and str(found.key).lower() == name.lower()]
        if named:
            yield max(named, key=lambda other: difflib.SequenceMatcher(None, other, table.name).ratio()), name


def _with_role(table: ProposedTable, directors: list[tuple[str, str]], *, is_list: bool = False) -> ProposedTable:
    if directors:
        paired = len(directors) > 1 and table.position is None
        role, chosen = (TableRole.REF_MATCH, directors[:2]) if paired else (TableRole.DEPENDENT, directors[:1])
        named = " and ".join(f"{column} is taken for the key of {name}" for name, column in chosen)
        return replace(table, role=role, directors=tuple(chosen), notes=(*table.notes, named))
    if table.position and table.key:
        note = "it has few rows, to which those of others refer: it would be whole on every node"
        return replace(table, notes=(*table.notes, note)) if is_list else replace(table, role=TableRole.DIRECTOR)
    lacks = (
        "no position" if table.key else "no integer column whose values differ" if table.position else "neither position nor key"
    )
    return replace(table, role=TableRole.REPLICATED, notes=(*table.notes, f"it has {lacks}: it would be whole on every node"))

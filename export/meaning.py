"""What columns mean, as it goes with a catalogue: metadata of its fields, and the schema by which it can be loaded again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from czar.service.models import TableDeclaration
from ingest.locations import located
from ingest.proposal import ProposedTable, proposed_tables
from ingest.proposed_text import felis_text as proposed_felis
from ingest.proposed_text import partition_text as proposed_partition
from schema.check import problems
from schema.felis_text import felis_text, partition_text
from schema.model import Column, Database, Table, TableRole
from schema.partitioning import partition_path


def with_meaning(schema: pa.Schema, table: Table) -> pa.Schema:
    """Return a schema whose fields say what is known of their columns; those that the table does not have stay as they are."""
    return pa.schema([_with_meaning(field, table.by_name.get(field.name)) for field in schema])


def write_schema_of_table(directory: Path, declaration: TableDeclaration, table: Table) -> Path:
    """Write the Felis file of a table, and the partition file beside it; return the former."""
    database = Database(
        name=declaration.database,
        family=declaration.family,
        tables=(table,),
        description=declaration.description,
        overlap_deg=declaration.overlap_deg,
        version=declaration.version,
    )
    alone, notes = _alone(database, table)
    lines = [f"# {note}\n" for note in notes]
    return _write(directory, database.name, felis_text(alone), "".join(lines) + partition_text(alone))


def write_schema_of_answer(directory: Path, name: str, with_nan: Sequence[str]) -> Path:
    """Write a proposal for the rows of a catalogue that is written: who knows a query does not know what its rows are.

    Parameters
    ----------
    with_nan
        Columns in which NaN is.
    """
    (table,) = proposed_tables({name: located(str(directory))})
    kept = _keeping(table, with_nan)
    return _write(directory, name, proposed_felis(name, [kept]), proposed_partition(name, [kept]))


def _with_meaning(field: pa.Field, column: Column | None) -> pa.Field:
    if column is None:
        return field
    length = "" if column.length is None else str(column.length)
    said = {"datatype": column.datatype.value, "length": length, "utype": column.utype, "nan": "keep" if column.keep_nan else ""}
    known: Mapping[bytes, bytes] = field.metadata or {}
    return field.with_metadata({**known, **{name.encode(): text.encode() for name, text in said.items() if text}})


def _alone(database: Database, table: Table) -> tuple[Database, list[str]]:
    """Return a database that has nothing but one table, and what is not in it any more."""
    notes = [
        f"Foreign key {key.name} is left out: table {key.target_table} is not here."
        for key in table.foreign_keys
        if key.target_table != table.name
    ]
    keys = tuple(key for key in table.foreign_keys if key.target_table == table.name)
    table = replace(table, foreign_keys=keys)
    if not table.directors:
        return replace(database, tables=(table,)), notes
    notes.append(f"{table.name} hung on {' and '.join(name for name, _ in table.directors)}, which is not here.")
    free = Table(
        table.name,
        TableRole.REPLICATED,
        table.columns,
        table.primary_key,
        table.description,
        ra=table.ra,
        dec=table.dec,
        frame=table.frame,
        time_system=table.time_system,
        foreign_keys=table.foreign_keys,
        indexes=table.indexes,
    )
    if len(table.primary_key) == 1:
        cut = replace(database, tables=(replace(free, role=TableRole.DIRECTOR, director_key=table.primary_key[0]),))
        if not problems(cut):
            return cut, notes
    return replace(database, tables=(free,)), notes


def _keeping(table: ProposedTable, with_nan: Sequence[str]) -> ProposedTable:
    columns = tuple(
        replace(each, column=replace(each.column, keep_nan=True)) if each.source in with_nan else each for each in table.columns
    )
    return replace(table, columns=columns)


def _write(directory: Path, name: str, felis: str, partition: str) -> Path:
    path = directory / f"{name}.yaml"
    path.write_text(felis, encoding="utf-8")
    partition_path(path).write_text(partition, encoding="utf-8")
    return path

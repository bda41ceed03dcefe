"""Felis YAML and the partitioning beside it -> `schema.model.Database`.

Felis (LSST's schema language) is read through the models of the lsst-felis library, which check identifiers, UCDs and units. The
library takes more than a second to import: only this module imports it.

Left aside, because nothing here acts on them: MySQL settings, default values, CHECK and UNIQUE constraints (a constraint over all
chunks could not be kept), column groups. Refused, because leaving them aside would change meaning: type overrides for PostgreSQL,
array columns, indexes on expressions.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from felis import datamodel
from lsst.resources import ResourcePath
from pydantic import ValidationError

from qserv.errors import SchemaError
from schema.check import problems
from schema.felis_column import convert_column
from schema.model import Database, ForeignKey, Table, TableRole
from schema.partitioning import ColumnEntry, Partitioning, TableEntry, partition_path, read_partitioning, schema_error


def read_database(path: Path) -> Database:
    """Read a database from a Felis file and the partition file beside it.

    Parameters
    ----------
    path
        The Felis file, such as ``stars.yaml``; ``stars.partition.yaml`` must stand beside it.

    Returns
    -------
    Database
        The database, checked by `schema.check.problems`. Tables and columns are in the order of ``tap:table_index`` and
        ``tap:column_index``, where they have one, else in that of the file.

    Raises
    ------
    SchemaError
        A file is missing or wrong. Every problem found is named with its file and place.
    """
    felis = _read_felis(path)
    beside = partition_path(path)
    partitioning = read_partitioning(beside)
    found = _unmatched(felis, partitioning)
    if found:
        raise schema_error(beside, found)
    found = []
    database = _database(felis, partitioning, found)
    found += problems(database)
    if found:
        raise schema_error(path, found)
    return database


def _read_felis(path: Path) -> datamodel.Schema:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path}: there is no such file; name a Felis file"
        raise SchemaError(msg) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path}: cannot be read as YAML: {error}"
        raise SchemaError(msg) from error
    if not isinstance(content, dict):
        raise schema_error(path, ["the file must hold one schema: name, tables, ..."])
    remote = [name for name, item in (content.get("resources") or {}).items() if "://" in str(item)]
    if remote:
        raise schema_error(path, [f"resources.{name}: only files beside this one can be referred to" for name in remote])
    context = {"id_generation": True, "resource_path": ResourcePath(str(path.resolve()))}
    try:
        # A copy, because the library writes defaults into what it validates.
        return datamodel.Schema.model_validate(copy.deepcopy(content), context=context)
    except ValidationError as error:
        raise schema_error(path, [f"{_place(content, item['loc'])}: {item['msg']}" for item in error.errors()]) from error


def _place(content: Any, location: tuple[int | str, ...]) -> str:  # noqa: ANN401 (any YAML)
    """Return a place in the file with the names of tables and columns instead of their numbers."""
    named: list[str] = []
    for step in location:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            content = None
        is_named = isinstance(step, int) and isinstance(content, Mapping) and "name" in content
        named.append(str(content["name"]) if is_named else str(step))
    return ".".join(named) or "file"


def _unmatched(felis: datamodel.Schema, partitioning: Partitioning) -> list[str]:
    """Return what one of the two files names and the other does not have."""
    tables = {table.name: table for table in felis.tables}
    found = [f"tables: table {name} of the Felis file is missing" for name in tables if name not in partitioning.tables]
    for name, entry in partitioning.tables.items():
        if name not in tables:
            found.append(f"tables.{name}: the Felis file has no such table")
            continue
        columns = {column.name for column in tables[name].columns}
        keys = {item.name for item in tables[name].constraints if isinstance(item, datamodel.ForeignKeyConstraint)}
        found += [f"tables.{name}.columns.{column}: no such column" for column in entry.columns if column not in columns]
        found += [f"tables.{name}.foreign_keys.{key}: no such foreign key" for key in entry.foreign_keys if key not in keys]
    return found


def _database(felis: datamodel.Schema, partitioning: Partitioning, found: list[str]) -> Database:
    version = felis.version.current if isinstance(felis.version, datamodel.SchemaVersion) else felis.version
    ids = {column.id: (table.name, column.name) for table in felis.tables for column in table.columns}
    ordered = sorted(felis.tables, key=lambda table: _index(table.tap_table_index))
    tables = [_table(table, partitioning.tables[table.name], ids, found) for table in ordered]
    if partitioning.ids is not None:
        limits = (partitioning.ids.first, partitioning.ids.last)
        tables = [replace(table, ids=limits) if table.id_columns else table for table in tables]
    histories = [table.history for table in tables]
    return Database(
        name=felis.name,
        family=partitioning.family,
        tables=(*tables, *(history for history in histories if history is not None)),
        description=_text(felis.description),
        overlap_deg=partitioning.overlap_deg,
        version=version or "",
    )


def _table(table: datamodel.Table, entry: TableEntry, ids: Mapping[str, tuple[str, str]], found: list[str]) -> Table:
    keys = [table.primary_key] if isinstance(table.primary_key, str) else table.primary_key or []
    primary_key = tuple(_own_column(table, ids, key, "primaryKey", found) for key in keys)
    columns = sorted(table.columns, key=lambda column: _index(column.tap_column_index))
    indexes = []
    for index in table.indexes:
        if index.columns is None:
            found.append(f"{table.name}: index {index.name}: indexes on expressions are not supported; name columns")
            continue
        indexes.append(tuple(_own_column(table, ids, column, f"index {index.name}", found) for column in index.columns))
    return Table(
        name=table.name,
        role=TableRole(entry.role),
        columns=tuple(
            convert_column(column, entry.columns.get(column.name, ColumnEntry()), f"{table.name}.{column.name}", found)
            for column in columns
        ),
        primary_key=primary_key,
        description=_text(table.description),
        ra=entry.ra,
        dec=entry.dec,
        director=entry.director,
        director_key=entry.director_key,
        second_director=entry.second_director,
        second_director_key=entry.second_director_key,
        director_ra=entry.director_ra,
        director_dec=entry.director_dec,
        orphans=entry.orphans,
        overlap=entry.overlap,
        versions=entry.versions.versions() if entry.versions else None,
        frame=entry.frame.frame() if entry.frame else None,
        time_system=entry.time_system.time_system() if entry.time_system else None,
        foreign_keys=tuple(
            _foreign_key(table, item, entry, ids, found)
            for item in table.constraints
            if isinstance(item, datamodel.ForeignKeyConstraint)
        ),
        indexes=tuple(indexes),
    )


def _foreign_key(
    table: datamodel.Table,
    key: datamodel.ForeignKeyConstraint,
    entry: TableEntry,
    ids: Mapping[str, tuple[str, str]],
    found: list[str],
) -> ForeignKey:
    # Felis has checked that the identifiers exist.
    targets = [ids[column] for column in key.referenced_columns]
    if len({target for target, _ in targets}) > 1:
        found.append(f"{table.name}: foreign key {key.name}: it refers to columns of several tables")
    reach = entry.foreign_keys.get(key.name)
    return ForeignKey(
        name=key.name,
        columns=tuple(_own_column(table, ids, column, f"foreign key {key.name}", found) for column in key.columns),
        target_table=targets[0][0],
        target_columns=tuple(name for _, name in targets),
        description=_text(key.description),
        max_separation_deg=reach.max_separation_deg if reach else None,
    )


def _own_column(table: datamodel.Table, ids: Mapping[str, tuple[str, str]], key: str, what: str, found: list[str]) -> str:
    """Return the name of a table's column from its identifier; a wrong one is noted and stands for itself."""
    owner, name = ids.get(key, (None, key))
    if owner != table.name:
        found.append(f"{table.name}: {what}: {key} is not the @id of a column of this table")
    return str(name)


def _index(index: int | None) -> float:
    return float("inf") if index is None else index


def _text(description: str | None) -> str:
    return " ".join((description or "").split())

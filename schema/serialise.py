"""Database, table and column <-> JSON, for the metadata database and the wire. Reading what was written gives an equal value.

A field that has its default value is left out: a table of 1,254 columns (LSST Object) stays small.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from qserv.errors import SchemaError
from schema.model import Column, ColumnType, Database, ForeignKey, Frame, Orphans, Table, TableRole, TimeSystem, Versions

Json = dict[str, Any]
"""A JSON object; ``Any`` because JSON's values have no closed type."""

_T = TypeVar("_T", Column, ForeignKey, Frame, TimeSystem, Versions, Table, Database)


def column_to_json(column: Column) -> Json:
    """Return a column as a JSON object."""
    return _fields(column)


def column_from_json(declaration: Mapping[str, Any]) -> Column:
    """Read a column that `column_to_json` wrote.

    Raises
    ------
    SchemaError
        The object is not such a declaration.
    """
    values = dict(declaration)
    return _build(
        Column,
        values,
        datatype=lambda: ColumnType(values["datatype"]),
        derived_from=lambda: tuple(values.get("derived_from", ())),
    )


def table_to_json(table: Table, *, columns: bool = True) -> Json:
    """Return a table as a JSON object, with or without its columns."""
    declaration = _fields(table)
    del declaration["columns"]
    if columns:
        declaration["columns"] = [column_to_json(column) for column in table.columns]
    if table.frame is not None:
        declaration["frame"] = _fields(table.frame)
    if table.time_system is not None:
        declaration["time_system"] = _fields(table.time_system)
    if table.versions is not None:
        declaration["versions"] = _fields(table.versions)
    if table.foreign_keys:
        declaration["foreign_keys"] = [_fields(key) for key in table.foreign_keys]
    return declaration


def table_from_json(declaration: Mapping[str, Any], columns: Iterable[Column] | None = None) -> Table:
    """Read a table that `table_to_json` wrote.

    Parameters
    ----------
    declaration
        The JSON object.
    columns
        The table's columns, where the object was written without them.

    Raises
    ------
    SchemaError
        The object is not such a declaration.
    """
    values = dict(declaration)
    return _build(
        Table,
        values,
        role=lambda: TableRole(values["role"]),
        columns=lambda: tuple(map(column_from_json, values["columns"])) if columns is None else tuple(columns),
        primary_key=lambda: tuple(values.get("primary_key", ())),
        orphans=lambda: Orphans(values.get("orphans", Orphans.REJECT)),
        frame=lambda: _build(Frame, values["frame"]) if values.get("frame") else None,
        time_system=lambda: _build(TimeSystem, values["time_system"]) if values.get("time_system") else None,
        ids=lambda: (int(values["ids"][0]), int(values["ids"][1])) if values.get("ids") else None,
        versions=lambda: _build(Versions, values["versions"]) if values.get("versions") else None,
        foreign_keys=lambda: tuple(map(_foreign_key, values.get("foreign_keys", ()))),
        indexes=lambda: tuple(tuple(index) for index in values.get("indexes", ())),
    )


def database_to_json(database: Database) -> Json:
    """Return a database, with its tables, as a JSON object."""
    return {**_fields(database), "tables": [table_to_json(table) for table in database.tables]}


def database_from_json(declaration: Mapping[str, Any]) -> Database:
    """Read a database that `database_to_json` wrote.

    Raises
    ------
    SchemaError
        The object is not such a declaration.
    """
    values = dict(declaration)
    return _build(Database, values, tables=lambda: tuple(map(table_from_json, values["tables"])))


def _foreign_key(values: Mapping[str, Any]) -> ForeignKey:
    return _build(
        ForeignKey,
        values,
        columns=lambda: tuple(values["columns"]),
        target_columns=lambda: tuple(values["target_columns"]),
    )


def _fields(value: Column | ForeignKey | Frame | TimeSystem | Versions | Table | Database) -> Json:
    """Return the fields that differ from their defaults; tuples become lists, so that the object equals its JSON reading."""
    fields: Json = {}
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if field.default is not dataclasses.MISSING and content == field.default:
            continue
        fields[field.name] = _plain(content)
    return fields


def _plain(content: Any) -> Any:  # noqa: ANN401 (any field of any of the classes)
    if isinstance(content, tuple):
        return [_plain(item) for item in content]
    if isinstance(content, (ColumnType, TableRole, Orphans)):
        return content.value
    return content


def _build(cls: type[_T], values: Mapping[str, Any], **converted: Any) -> _T:  # noqa: ANN401 (functions without arguments)
    """Construct a `cls` of `values`, of which the `converted` ones are computed."""
    try:
        return cls(**{**values, **{name: convert() for name, convert in converted.items()}})
    except (KeyError, TypeError, ValueError) as error:
        named = values.get("name", "?")
        msg = (
            f"declaration of {cls.__name__.lower()} {named!r} cannot be read: {type(error).__name__} {error}; "
            "it was written by another version of this software or changed by hand: load the database again"
        )
        raise SchemaError(msg) from error

"""A database -> its Felis file and the partition file beside it: what `schema.felis.read_database` reads as the same database."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import yaml

from schema.model import Column, ColumnType, Database, ForeignKey, Table
from schema.partitioning import ARCSEC_PER_DEG, TableEntry

COMPOSED = frozenset({"frame", "time_system", "columns", "foreign_keys", "versions"})
"""Entries of a table in the partition file that are not its own values; the others have the names of these."""

Json = dict[str, Any]
"""What YAML writes as a mapping."""

LINE_CHARACTERS = 132
"""Longer descriptions are broken."""


def felis_text(database: Database) -> str:
    """Return the Felis file of a database."""
    document = {
        "name": database.name,
        "@id": f"#{database.name}-database",  # names have no dash: it is that of no table
        **_said(version=database.version, description=database.description),
        "tables": [_table(table) for table in _written(database)],
    }
    return _yaml(document)


def partition_text(database: Database) -> str:
    """Return the partition file of a database."""
    limits = next((table.ids for table in database.tables if table.ids is not None), None)
    document = {
        "family": database.family,
        **({} if limits is None else {"ids": dict(zip(("first", "last"), limits, strict=True))}),
        "overlap_deg": database.overlap_deg,
        "tables": {table.name: dict(_entry(table)) for table in _written(database)},
    }
    return _yaml(document)


def _written(database: Database) -> list[Table]:
    """Return the tables that are declared; those of former versions follow from others."""
    made = {table.versions.history for table in database.tables if table.versions is not None}
    return [table for table in database.tables if table.name not in made]


def _table(table: Table) -> Json:
    name = table.name
    indexes = [
        {"name": f"{name}_index_{place}", "@id": f"#{name}-index-{place}", "columns": _ids(name, columns)}
        for place, columns in enumerate(table.indexes)
    ]
    return {
        "name": name,
        "@id": f"#{name}",
        **_said(description=table.description),
        **_said(primaryKey=_ids(name, table.primary_key)),
        **_said(constraints=[_foreign_key(name, key) for key in table.foreign_keys], indexes=indexes),
        "columns": [_column(name, column) for column in table.columns],
    }


def _column(table: str, column: Column) -> Json:
    # Felis has no type for texts without a length that are not ASCII alone, but for what VOTable calls them.
    is_endless = column.datatype is ColumnType.UNICODE and column.length is None
    attributes: Json = {
        "ivoa:unit": column.unit,
        "ivoa:ucd": column.ucd,
        "votable:datatype": "unicodeChar" if is_endless else None,
        "votable:arraysize": "*" if is_endless else None,
        "votable:utype": column.utype,
        "votable:xtype": column.xtype,
        "tap:principal": int(column.principal),
        "tap:std": int(column.std),
    }
    return {
        "name": column.name,
        "@id": f"#{table}.{column.name}",
        "datatype": (ColumnType.TEXT if is_endless else column.datatype).value,
        **_said(length=column.length),
        **({} if column.nullable else {"nullable": False}),
        **_said(description=column.description),
        **{name: value for name, value in attributes.items() if value},
    }


def _foreign_key(table: str, key: ForeignKey) -> Json:
    return {
        "name": key.name,
        "@type": "ForeignKey",
        "@id": f"#{table}-{key.name}",
        **_said(description=key.description),
        "columns": _ids(table, key.columns),
        "referencedColumns": _ids(key.target_table, key.target_columns),
    }


def _entry(table: Table) -> Iterator[tuple[str, Any]]:
    """Yield what the partition file says of a table."""
    for name, field in TableEntry.model_fields.items():
        value = getattr(table, name, None)
        if name not in COMPOSED and value != field.default:
            yield name, value.value if isinstance(value, StrEnum) else value
    if table.frame is not None:
        frame = table.frame
        includes = frame.proper_motion_ra_includes_cos_dec
        motion = {} if includes is None else {"proper_motion_ra_includes_cos_dec": includes}
        yield "frame", {"system": frame.system, **_said(epoch=frame.epoch), **motion}
    if table.time_system is not None:
        times = table.time_system
        origin = _said(timeorigin=times.timeorigin)
        yield "time_system", {"timescale": times.timescale, "refposition": times.refposition, **origin}
    if table.versions is not None:
        versions = table.versions
        named = {"start": versions.start, "end": versions.end, "history": versions.history, **_said(withdrawn=versions.withdrawn)}
        yield "versions", {**named, "margin_arcsec": versions.margin_deg * ARCSEC_PER_DEG}
    columns = {column.name: _column_entry(column) for column in table.columns if column.keep_nan or column.derived_by}
    if columns:
        yield "columns", columns
    reaches = {
        key.name: {"max_separation_arcsec": key.max_separation_deg * ARCSEC_PER_DEG}
        for key in table.foreign_keys
        if key.max_separation_deg is not None
    }
    if reaches:
        yield "foreign_keys", reaches


def _column_entry(column: Column) -> Json:
    derived = {"derive": {"function": column.derived_by, "from": list(column.derived_from)}} if column.derived_by else {}
    return {**({"nan": "keep"} if column.keep_nan else {}), **derived}


def _ids(table: str, columns: tuple[str, ...]) -> list[str]:
    return [f"#{table}.{column}" for column in columns]


def _said(**attributes: Any) -> Json:  # noqa: ANN401 (any attribute of Felis)
    """Return the attributes that say something."""
    return {name: value for name, value in attributes.items() if value}


def _yaml(document: Json) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=LINE_CHARACTERS)
    return text

"""Keeps queries that fail: in ``regressions/``, and in ``regressions/tables/`` with the tables that they are asked of."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import yaml

from schema.serialise import database_from_json, database_to_json
from schema.types import arrow_schema
from tests.oracle.loading import Tables

REGRESSIONS = Path(__file__).parent / "regressions"

WITH_TABLES = REGRESSIONS / "tables"


@dataclass(frozen=True)
class Kept:
    """A query with the tables that it failed on; without a query, the load failed."""

    tables: Tables
    query: str | None
    oracle: str | None


def keep(query, name):
    """Keep a query over the tables of the tests."""
    text = query.text
    entry = {"name": name, "query": text.ours} | ({"oracle": text.plain} if text.plain != text.ours else {})
    path = REGRESSIONS / f"{name}.yaml"
    path.write_text(yaml.safe_dump([entry], allow_unicode=True, sort_keys=False, width=130), encoding="utf-8")
    return path


def keep_with_tables(tables, query, name):
    """Keep a query and the tables that it is asked of; or tables alone, which cannot be loaded."""
    text = query.text if query else None
    content = {
        "query": text and text.ours,
        "oracle": text and text.plain,
        "chunk_target_rows": tables.chunk_target_rows,
        "database": database_to_json(tables.database),
        "rows": {name: rows.to_pydict() for name, rows in tables.rows.items()},
    }
    WITH_TABLES.mkdir(exist_ok=True)
    path = WITH_TABLES / f"{name}.yaml"
    written = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=130, default_flow_style=None)
    path.write_text(written, encoding="utf-8")
    return path


def read_kept(path):
    """Return what `keep_with_tables` wrote."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    database = database_from_json(content["database"])
    rows = {table.name: pa.table(content["rows"][table.name], schema=arrow_schema(table, hidden=())) for table in database.tables}
    return Kept(Tables(database, rows, content["chunk_target_rows"]), content["query"], content["oracle"])

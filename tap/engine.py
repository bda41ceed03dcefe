"""What the web face needs of the query engine."""

from collections.abc import AsyncIterator
from typing import Protocol

import pyarrow as pa
from sqlglot import exp

from schema.model import Column, Database, Table


class ResultColumn(Protocol):
    """A column of an answer."""

    @property
    def name(self) -> str:
        """Its name in the answer."""

    @property
    def column(self) -> Column:
        """Its type, unit, UCD and description."""

    @property
    def table(self) -> Table | None:
        """The table that it comes from, or None if it is computed."""


class Answer(Protocol):
    """The rows that answer a query, as they come."""

    @property
    def query_id(self) -> str:
        """Identifier of the query in the log."""

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        """Its columns, in order."""

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of its batches."""

    def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows. Raises an error of ``qserv.errors`` when the query fails on its way; closing it cancels the query."""


class Catalogue(Protocol):
    """The databases that users see."""

    @property
    def databases(self) -> tuple[Database, ...]:
        """Published databases."""

    def row_count(self, database: str, table: str) -> int:
        """Return how many rows a table has."""


class Session(Protocol):
    """The door to the query engine."""

    async def query(
        self,
        statement: str | exp.Expression,
        *,
        dialect: str = "native",
        user: str = "anonymous",
        max_rows: int | None = None,
    ) -> Answer:
        """Start a query; ``max_rows`` is where the engine stops."""

    async def catalogue(self) -> Catalogue:
        """Return what is published now."""

    async def close(self) -> None:
        """Stop all queries and close all connections."""

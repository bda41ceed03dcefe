"""Running the statements that ``schema.ddl`` and this package write."""

import psycopg
from psycopg import sql


def run(session: psycopg.Connection, statement: str) -> None:
    """Execute a statement that ``schema.ddl`` or this package wrote."""
    # psycopg asks for literals, to keep users' text out of statements; every name in these went through `schema.physical.quote`.
    session.execute(sql.SQL(statement))

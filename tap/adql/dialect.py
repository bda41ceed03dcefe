"""ADQL as a dialect of sqlglot: ``sqlglot.parse_one(text, dialect="adql")``."""

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

from tap.adql.parse import parse_adql


class ADQL(Postgres):
    """Reads ADQL by the standard's own grammar, writes PostgreSQL.

    sqlglot's parser takes far more than ADQL allows, so ADQL is not read by a subclass of it.
    """

    def parse(self, sql: str, **_opts: object) -> list[exp.Expr | None]:
        """Parse one ADQL query."""
        return [parse_adql(sql)]

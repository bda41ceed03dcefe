"""What users may see of transactions and their contributions, since the version of the catalogue that commits each."""

import sqlalchemy as sa
from alembic import op

from qserv.cluster import PROVENANCE_SCHEMA

revision: str = "0014"
down_revision: str | None = "0013"

TRANSACTIONS = f"""
    CREATE VIEW {PROVENANCE_SCHEMA}.transactions AS
    SELECT transaction_id, name COLLATE "C" AS name, database COLLATE "C" AS database, kind COLLATE "C" AS kind,
           begun AT TIME ZONE 'UTC' AS begun, ended AT TIME ZONE 'UTC' AS ended, withdrawn AT TIME ZONE 'UTC' AS withdrawn,
           user_name COLLATE "C" AS user_name, host COLLATE "C" AS host, software COLLATE "C" AS software, version
    FROM public.transactions WHERE state = 'committed'"""  # noqa: S608 (a name of ours)

CONTRIBUTIONS = f"""
    CREATE VIEW {PROVENANCE_SCHEMA}.contributions AS
    SELECT c.contribution_id, c.transaction_id, c.name COLLATE "C" AS name, c.table_name COLLATE "C" AS table_name,
           c.source COLLATE "C" AS source, c.size_bytes, c.sha256 COLLATE "C" AS sha256, c.row_count, c.rejected,
           c.ended AT TIME ZONE 'UTC' AS ended, t.version
    FROM public.contributions AS c JOIN public.transactions AS t USING (transaction_id)
    WHERE c.state = 'done' AND t.state = 'committed'"""  # noqa: S608 (as above)
"""Texts are compared by code point, as everywhere."""


def upgrade() -> None:
    """Add the column and the views; those that are committed are so since before all versions."""
    op.add_column(
        "transactions",
        sa.Column("version", sa.BigInteger(), nullable=True, comment="Of the catalogue, since which it is committed."),
    )
    op.execute("UPDATE transactions SET version = 0 WHERE state = 'committed'")
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {PROVENANCE_SCHEMA}")
    op.execute(TRANSACTIONS)
    op.execute(CONTRIBUTIONS)

"""Where the rows of keys were before they moved to other chunks."""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "moved_keys",
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Of the catalogue, since which its row is elsewhere."),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False, comment="Where its row was before."),
        sa.PrimaryKeyConstraint("database", "table_name", "version", "key", name=op.f("moved_keys_pkey")),
        comment="Keys of directors whose rows moved to other chunks.",
    )

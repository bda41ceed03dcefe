"""Names under which databases are asked beside their own, such as that of the current release."""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "aliases",
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["database"], ["databases.database"], name=op.f("aliases_database_fkey")),
        sa.PrimaryKeyConstraint("alias", name=op.f("aliases_pkey")),
        comment="Names under which databases are asked beside their own.",
    )

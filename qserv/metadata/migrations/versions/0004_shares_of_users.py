"""What users do on all czars together: the queries that each czar runs for them, and what they read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Make the column and the table."""
    running = sa.Column(
        "running", postgresql.JSONB(), server_default="{}", nullable=False, comment="Queries that it runs, by user."
    )
    op.add_column("czars", running)
    op.create_table(
        "readings",
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False, comment="Begin of the piece of time."),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False, comment="In Arrow's memory."),
        sa.PrimaryKeyConstraint("user_name", "began", name=op.f("readings_pkey")),
        comment="What users read of answers lately, from all czars together; each adds up about every second.",
    )

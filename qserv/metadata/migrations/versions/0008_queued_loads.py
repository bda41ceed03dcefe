"""Loads that are asked of the ingest service: what was asked waits here, with how far it is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0008"
down_revision: str | None = "0007"

COLUMNS = (
    sa.Column("family", sa.Text(), nullable=True, comment="Of the database; NULL: before it was written down."),
    sa.Column("request", JSONB(), nullable=True, comment="What the ingest service is to load; NULL once it has ended."),
    sa.Column("request_hash", sa.Text(), nullable=True, comment="SHA-256 of what was asked, by which the same is known again."),
    sa.Column("attempt", sa.Integer(), nullable=False, server_default="0", comment="How often the ingest service began it."),
    sa.Column("progress", JSONB(), nullable=True, comment="How far each stage is."),
    sa.Column("report", JSONB(), nullable=True, comment="What a committed one did."),
    sa.Column("error_code", sa.Text(), nullable=True),
)


def upgrade() -> None:
    """Add what the service needs."""
    for column in COLUMNS:
        op.add_column("transactions", column)
    op.alter_column(
        "transactions", "state", comment="queued, open, committed or aborted.", existing_type=sa.Text(), existing_nullable=False
    )
    name = op.f("transactions_state_check")
    op.drop_constraint(name, "transactions", type_="check")
    op.create_check_constraint(name, "transactions", "state IN ('queued', 'open', 'committed', 'aborted')")

"""Transactions that stay open: contributions are sent one by one, each with its own state, until a commit is asked."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0009"
down_revision: str | None = "0008"

TRANSACTIONS: tuple[sa.Column[Any], ...] = (
    sa.Column("kind", sa.Text(), nullable=False, server_default="load"),
    sa.Column("wish", sa.Text(), nullable=True, comment="What is asked of an open one: commit; swap once tables change places."),
)
CONTRIBUTIONS: tuple[sa.Column[Any], ...] = (
    sa.Column("name", sa.Text(), nullable=True, comment="Given by who sent it; NULL of a load's file."),
    sa.Column("state", sa.Text(), nullable=False, server_default="done"),
    sa.Column("request", JSONB(), nullable=True, comment="Where its rows are, and how they are read."),
    sa.Column("request_hash", sa.Text(), nullable=True, comment="SHA-256 of what was asked, by which the same is known again."),
    sa.Column("attempt", sa.Integer(), nullable=False, server_default="0", comment="How often it was begun."),
    sa.Column("error", sa.Text(), nullable=True, comment="Why no row of it was taken."),
    sa.Column("error_code", sa.Text(), nullable=True),
)


def upgrade() -> None:
    """Add what open transactions need."""
    for column in TRANSACTIONS:
        op.add_column("transactions", column)
    op.create_check_constraint(op.f("transactions_kind_check"), "transactions", "kind IN ('load', 'transaction', 'index')")
    for column in CONTRIBUTIONS:
        op.add_column("contributions", column)
    states = "state IN ('queued', 'reading', 'done', 'failed', 'cancelled')"
    op.create_check_constraint(op.f("contributions_state_check"), "contributions", states)
    sent = ["transaction_id", "name", "source"]
    op.create_index("contributions_sent", "contributions", sent, unique=True, postgresql_where=sa.text("name IS NOT NULL"))
    op.add_column("runs", sa.Column("contribution_id", sa.BigInteger(), nullable=True, comment="Of which it is a piece."))
    op.create_table(
        "pending_keys",
        sa.Column("contribution_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        comment="Keys of directors' rows whose contribution has not ended.",
    )
    op.create_index(op.f("pending_keys_contribution_id_idx"), "pending_keys", ["contribution_id"])

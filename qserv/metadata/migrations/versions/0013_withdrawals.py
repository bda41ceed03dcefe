"""Withdrawals: where the rows of a transaction are, and when they were taken away."""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    """Add them. What was appended before cannot be withdrawn."""
    op.add_column(
        "transactions",
        sa.Column(
            "withdrawn", sa.DateTime(timezone=True), nullable=True, comment="When the rows of a committed one were taken away."
        ),
    )
    op.drop_constraint(op.f("transactions_kind_check"), "transactions", type_="check")
    kinds = "kind IN ('load', 'transaction', 'index', 'withdrawal')"
    op.create_check_constraint(op.f("transactions_kind_check"), "transactions", kinds)
    op.create_table(
        "appended_chunks",
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("overlap_row_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id", "chunk"],
            ["chunks.table_id", "chunks.chunk"],
            name=op.f("appended_chunks_table_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["transactions.transaction_id"],
            name=op.f("appended_chunks_transaction_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("transaction_id", "table_id", "chunk", name=op.f("appended_chunks_pkey")),
        comment="Where the rows are that a transaction appended, whatever segments they are in by now.",
    )

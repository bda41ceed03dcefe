"""Runs: sorted rows that wait beside the nodes until their tables are built."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Make the table; transactions of before have no runs."""
    op.create_table(
        "runs",
        sa.Column("run_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column(
            "taken", sa.Boolean(), server_default="false", nullable=False, comment="Whether it is on the disks of all its nodes."
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.transaction_id"], name=op.f("runs_transaction_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("runs_pkey")),
        comment="Sorted rows of a transaction, which wait beside the nodes in files.",
    )
    op.create_index(op.f("runs_transaction_id_idx"), "runs", ["transaction_id"])
    op.add_column(
        "transactions",
        sa.Column(
            "cleared", sa.Boolean(), server_default="true", nullable=False, comment="Whether no node has runs of it any more."
        ),
    )
    op.alter_column("transactions", "cleared", server_default="false")

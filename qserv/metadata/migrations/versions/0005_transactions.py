"""What was loaded: transactions, and the files that each of them took rows from."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "transactions",
        sa.Column("transaction_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="open, committed or aborted."),
        sa.Column("begun", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False, comment="Of the system that began it."),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("software", sa.Text(), nullable=False, comment="What loaded it, with its version."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it was aborted."),
        sa.CheckConstraint("state IN ('open', 'committed', 'aborted')", name=op.f("transactions_state_check")),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("transactions_pkey")),
        sa.UniqueConstraint("name", name=op.f("transactions_name_key")),
        comment="Loads: the rows of one become visible together, or none of them.",
    )
    op.create_table(
        "contributions",
        sa.Column("contribution_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="The file: a path, or a URL without what may be secret in it."),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True, comment="Of a file of the machine that read it, as it lies there."),
        sa.Column("sha256", sa.Text(), nullable=True, comment="Of the same bytes."),
        sa.Column("row_count", sa.BigInteger(), nullable=False, comment="Rows that were taken."),
        sa.Column("rejected", sa.BigInteger(), nullable=False, comment="Rows that were set aside."),
        sa.Column("ended", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["transactions.transaction_id"],
            name=op.f("contributions_transaction_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("contribution_id", name=op.f("contributions_pkey")),
        comment="Files from which a transaction took rows.",
    )
    op.create_index(op.f("contributions_transaction_id_idx"), "contributions", ["transaction_id"])

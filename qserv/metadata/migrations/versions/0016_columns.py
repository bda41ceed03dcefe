"""Columns that are added to published tables."""

from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    """Let a transaction be of one more kind."""
    name = op.f("transactions_kind_check")
    op.drop_constraint(name, "transactions", type_="check")
    op.create_check_constraint(name, "transactions", "kind IN ('load', 'transaction', 'index', 'column', 'withdrawal')")

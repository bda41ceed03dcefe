"""The query log says how a query was answered (LSST DMS-REQ-0345)."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Add the column."""
    meaning = "How it was answered: steps, access to the chunks, what was done with their rows."
    op.add_column("queries", sa.Column("plan_shape", sa.Text(), comment=meaning))

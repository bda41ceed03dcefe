"""Tables that were published, and are withheld from users."""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    """Add the column; no table is withheld."""
    op.add_column(
        "tables",
        sa.Column("withheld", sa.Boolean(), nullable=False, server_default="false", comment="Whole, though users do not see it."),
    )
